namespace Drover.Trainer.Collectives;

/// <summary>
/// Counts what one rank moves, by axis and operation. Bytes on the wire are those of a ring, which no algorithm that gives every rank
/// its result can undercut: so they compare strategies, whatever the library does underneath.
/// </summary>
public sealed class TrafficCounter
{
    private readonly Lock _lock = new();
    private readonly Dictionary<(string Axis, string Operation), TrafficEntry> _entries = [];
    private readonly Dictionary<string, TimeSpan> _waits = new(StringComparer.Ordinal);

    /// <summary>Told of operations as they are waited for; null for nobody. The rank's own thread sets it and is the one that tells.</summary>
    public ICollectiveTrace? Trace { get; set; }

    /// <summary>What was counted since the last <see cref="Reset"/>, by axis, then by operation.</summary>
    public IReadOnlyList<TrafficEntry> Snapshot()
    {
        lock (_lock)
            return [.. _entries.Values.OrderBy(e => e.Axis, StringComparer.Ordinal).ThenBy(e => e.Operation, StringComparer.Ordinal)];
    }

    /// <summary>Counts from zero again.</summary>
    public void Reset()
    {
        lock (_lock)
        {
            _entries.Clear();
            _waits.Clear();
        }
    }

    /// <summary>
    /// How long the rank's own thread stood waiting for operations of an axis since the last <see cref="Reset"/>: the part of the
    /// communication that was not hidden behind computation, and, along the pipeline, its bubble.
    /// </summary>
    public TimeSpan WaitedFor(string axis)
    {
        lock (_lock)
            return _waits.GetValueOrDefault(axis);
    }

    /// <summary>Counts time that was spent waiting.</summary>
    internal void AddWait(string axis, TimeSpan time)
    {
        lock (_lock)
            _waits[axis] = _waits.GetValueOrDefault(axis) + time;
    }

    /// <summary>Counts an operation of a group of <paramref name="ranks"/> ranks.</summary>
    internal void Add(string axis, Operation operation, int rank, int ranks)
    {
        long payload = Payload(operation, ranks);
        long wire = Wire(operation, payload, rank, ranks);
        lock (_lock)
        {
            (string, string) key = (axis, operation.Name);
            TrafficEntry old = _entries.GetValueOrDefault(key) ?? new TrafficEntry(axis, operation.Name, 0, 0, 0);
            _entries[key] = old with { Calls = old.Calls + 1, PayloadBytes = old.PayloadBytes + payload, WireBytes = old.WireBytes + wire };
        }
    }

    internal static long Payload(Operation operation, int ranks) => operation.Kind switch
    {
        OperationKind.ReduceScatter or OperationKind.AllGather => operation.Bytes * ranks,
        OperationKind.AllToAll => operation.SendBytes.Sum(),
        OperationKind.Barrier or OperationKind.Split => 0,
        _ => operation.Bytes,
    };

    private static long Wire(Operation operation, long payload, int rank, int ranks) => operation.Kind switch
    {
        OperationKind.AllReduce => 2 * (ranks - 1) * payload / ranks,
        OperationKind.ReduceScatter or OperationKind.AllGather => (ranks - 1) * payload / ranks,
        OperationKind.AllToAll => payload - operation.SendBytes[rank],
        OperationKind.Send or OperationKind.Receive => operation.Peer == rank ? 0 : payload,
        OperationKind.Broadcast => ranks == 1 ? 0 : payload,
        _ => 0,
    };
}

/// <summary>One row of a <see cref="TrafficCounter"/>.</summary>
/// <param name="Axis">Of the group.</param>
/// <param name="Operation">
/// <c>all-reduce</c> (fp32 sums), <c>all-reduce-fp64</c>, <c>all-reduce-max</c>, <c>all-reduce-max-fp64</c>, <c>reduce-scatter</c>,
/// <c>all-gather</c>, <c>all-to-all</c>, <c>broadcast</c>, <c>send</c>, <c>receive</c>, <c>barrier</c>, <c>split</c>.
/// </param>
/// <param name="Calls">How often it was started.</param>
/// <param name="PayloadBytes">Bytes handed over: all ranks' parts of a reduce-scatter and of an all-gather; what is sent in an all-to-all.</param>
/// <param name="WireBytes">
/// Bytes this rank sends (receive, broadcast: takes or gives): 2 (n - 1) / n of an all-reduce, (n - 1) / n of a reduce-scatter and an
/// all-gather, what goes to others of an all-to-all, all of a broadcast, a send and a receive; 0 in a group of one.
/// </param>
public sealed record TrafficEntry(string Axis, string Operation, long Calls, long PayloadBytes, long WireBytes);
