namespace Drover.Trainer.Collectives;

/// <summary>Is told of every operation that a rank has waited for, while it is set on <see cref="TrafficCounter.Trace"/>.</summary>
public interface ICollectiveTrace
{
    /// <summary>An operation was waited for for the first time. Times are those of <see cref="System.Diagnostics.Stopwatch.GetTimestamp"/>.</summary>
    /// <param name="axis">Of the group.</param>
    /// <param name="operation">As in <see cref="TrafficEntry"/>.</param>
    /// <param name="bytes">Payload.</param>
    /// <param name="started">It was asked for.</param>
    /// <param name="done">It was done; the end of the wait where the library does not tell.</param>
    /// <param name="waitedFrom">The rank began to wait.</param>
    /// <param name="waitedUntil">It went on.</param>
    void Waited(string axis, string operation, long bytes, long started, long done, long waitedFrom, long waitedUntil);
}

/// <summary>A handle that knows when its operation was done.</summary>
internal interface ITimedOperation
{
    /// <summary>As <see cref="System.Diagnostics.Stopwatch.GetTimestamp"/>; 0 before.</summary>
    long DoneAt { get; }
}
