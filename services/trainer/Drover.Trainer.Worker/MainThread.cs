namespace Drover.Trainer.Worker;

/// <summary>
/// A rank computes on the main thread of its process, from the first tensor to the last, and waits there for what others read and write. After
/// an await it would go on in some thread of the pool, and the C library gives threads heaps of their own: what one freed, the next could not use.
/// </summary>
internal static class MainThread
{
    /// <summary>Waits, and fails as the task failed.</summary>
    public static void Finish(this Task task) => task.GetAwaiter().GetResult();

    /// <inheritdoc cref="Finish(Task)" />
    public static T Finish<T>(this Task<T> task) => task.GetAwaiter().GetResult();
}
