using System.Diagnostics;
using Drover.Trainer.Collectives;

namespace Drover.Trainer.Engine;

/// <summary>
/// What one rank did in a step, span by span: set on <see cref="TrainingEngine.Trace"/> it is filled by the rank's own thread. Without one
/// a span costs a comparison.
/// </summary>
public sealed class StepTrace : ICollectiveTrace
{
    /// <summary>Category of a wait for an operation, beside those of the engine: "data", "forward", "recompute", "backward", "optimizer".</summary>
    public const string Wait = "wait";

    /// <summary>Category of an operation from being asked for until it was done, whether or not anybody waited.</summary>
    public const string Operation = "operation";

    private readonly List<TraceSpan> _spans = [];

    /// <summary>In the order in which they ended.</summary>
    public IReadOnlyList<TraceSpan> Spans => _spans;

    /// <inheritdoc />
    public void Waited(string axis, string operation, long bytes, long started, long done, long waitedFrom, long waitedUntil)
    {
        _spans.Add(new TraceSpan(Operation, $"{axis} {operation}", started, Math.Max(started, Math.Min(done, waitedUntil)), bytes));
        _spans.Add(new TraceSpan(Wait, $"{axis} {operation}", waitedFrom, waitedUntil, bytes));
    }

    internal void Add(TraceSpan span) => _spans.Add(span);
}

/// <summary>A stretch of time on one rank.</summary>
/// <param name="Category">See <see cref="StepTrace"/>.</param>
/// <param name="Name">Of the block ("layer 3"), or axis and operation.</param>
/// <param name="Started">As <see cref="Stopwatch.GetTimestamp"/>.</param>
/// <param name="Ended">The same.</param>
/// <param name="Bytes">Of an operation.</param>
public sealed record TraceSpan(string Category, string Name, long Started, long Ended, long Bytes = 0);

/// <summary>A span under way; ends when it is disposed.</summary>
internal readonly struct OpenSpan(StepTrace? trace, string category, string name) : IDisposable
{
    private readonly long _started = trace is null ? 0 : Stopwatch.GetTimestamp();

    public void Dispose() => trace?.Add(new TraceSpan(category, name, _started, Stopwatch.GetTimestamp()));
}
