using System.Text;
using Drover.Errors;

namespace Drover.ObjectStore;

/// <summary>The shapes in which callers most often read and write whole objects and ranges.</summary>
public static class ObjectStoreReading
{
    /// <summary>An object that must be there.</summary>
    /// <exception cref="DroverException">NotFound, naming the key.</exception>
    public static async ValueTask<ObjectInfo> GetInfoAsync(this IObjectStore store, string key, CancellationToken cancellation) =>
        await store.FindAsync(key, cancellation).ConfigureAwait(false) ?? throw Missing(key);

    /// <summary>All bytes of an object that fits in memory.</summary>
    public static async ValueTask<byte[]> ReadAllBytesAsync(this IObjectStore store, string key, CancellationToken cancellation)
    {
        ObjectInfo info = await store.GetInfoAsync(key, cancellation).ConfigureAwait(false);
        byte[] bytes = new byte[info.Size];
        await store.ReadRangeAsync(key, 0, bytes, cancellation).ConfigureAwait(false);
        return bytes;
    }

    /// <summary>The whole object as UTF-8 text.</summary>
    public static async ValueTask<string> ReadTextAsync(this IObjectStore store, string key, CancellationToken cancellation) =>
        Encoding.UTF8.GetString(await store.ReadAllBytesAsync(key, cancellation).ConfigureAwait(false));

    /// <summary>Fills <paramref name="target"/> from <paramref name="offset"/>.</summary>
    /// <exception cref="DroverException">OutOfRange when the object ends before.</exception>
    public static async ValueTask ReadRangeAsync(this IObjectStore store, string key, long offset, Memory<byte> target, CancellationToken cancellation)
    {
        if (target.Length == 0)
            return;
        Stream stream = await store.OpenReadAsync(key, offset, target.Length, cancellation).ConfigureAwait(false);
        await using (stream.ConfigureAwait(false))
            await stream.ReadExactlyAsync(target, cancellation).ConfigureAwait(false);
    }

    /// <summary>Stores bytes.</summary>
    public static async ValueTask<ObjectInfo> PutBytesAsync(this IObjectStore store, string key, ReadOnlyMemory<byte> bytes, PutCondition condition, CancellationToken cancellation)
    {
        using var stream = new MemoryStream(bytes.ToArray(), writable: false);
        return await store.PutAsync(key, stream, condition, cancellation).ConfigureAwait(false);
    }

    /// <summary>Stores UTF-8 text, replacing what is there.</summary>
    public static ValueTask<ObjectInfo> PutTextAsync(this IObjectStore store, string key, string text, CancellationToken cancellation) =>
        store.PutBytesAsync(key, Encoding.UTF8.GetBytes(text), PutCondition.None, cancellation);

    /// <summary>The failure for an object that should be there and is not.</summary>
    public static DroverException Missing(string key) =>
        new(FailureCode.NotFound, "OBJECT_NOT_FOUND", $"There is no object '{key}' in the store.");
}
