using System.Diagnostics;

namespace Drover.Trainer.Collectives;

/// <summary>What every kind of group shares: it checks arguments, numbers operations and counts their traffic.</summary>
public abstract unsafe class CollectiveGroup : ICollectives
{
    private const int TagLimit = 1 << 30;
    private long _operations;
    private long _messages;

    private protected CollectiveGroup(string axis, int rank, int worldSize, TrafficCounter traffic) =>
        (Axis, Rank, WorldSize, Traffic) = (axis, rank, worldSize, traffic);

    /// <inheritdoc />
    public int Rank { get; }

    /// <inheritdoc />
    public int WorldSize { get; }

    /// <inheritdoc />
    public string Axis { get; }

    /// <inheritdoc />
    public TrafficCounter Traffic { get; }

    /// <inheritdoc />
    public ICollectives Split(string axis, int color)
    {
        ArgumentException.ThrowIfNullOrEmpty(axis);
        ArgumentOutOfRangeException.ThrowIfNegative(color);
        return MakeGroup(Enter(new Operation(OperationKind.Split) { Peer = color, NewAxis = axis }));
    }

    /// <inheritdoc />
    public ICollectiveHandle StartAllReduceSum(nint data, long count) =>
        Begin(new Operation(OperationKind.AllReduce, data, data, count) { Element = Element.Float });

    /// <inheritdoc />
    public ICollectiveHandle StartAllReduceMax(nint data, long count) =>
        Begin(new Operation(OperationKind.AllReduce, data, data, count) { Element = Element.Float, Max = true });

    /// <inheritdoc />
    public ICollectiveHandle StartReduceScatterSum(nint source, nint destination, long countPerRank) =>
        Begin(new Operation(OperationKind.ReduceScatter, source, destination, countPerRank) { Element = Element.Float });

    /// <inheritdoc />
    public ICollectiveHandle StartAllGather(nint source, nint destination, long bytesPerRank) =>
        Begin(new Operation(OperationKind.AllGather, source, destination, bytesPerRank));

    /// <inheritdoc />
    public ICollectiveHandle StartAllToAll(nint source, nint destination, ReadOnlySpan<long> sendBytes, ReadOnlySpan<long> receiveBytes)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(sendBytes.Length, WorldSize);
        ArgumentOutOfRangeException.ThrowIfNotEqual(receiveBytes.Length, WorldSize);
        foreach (long bytes in sendBytes)
            ArgumentOutOfRangeException.ThrowIfNegative(bytes, nameof(sendBytes));
        foreach (long bytes in receiveBytes)
            ArgumentOutOfRangeException.ThrowIfNegative(bytes, nameof(receiveBytes));
        return Begin(new Operation(OperationKind.AllToAll, source, destination) { SendBytes = [.. sendBytes], ReceiveBytes = [.. receiveBytes] });
    }

    /// <inheritdoc />
    public ICollectiveHandle StartSend(nint data, long bytes, int to, int tag) => Begin(new Operation(OperationKind.Send, data, 0, bytes) { Peer = to, Tag = tag });

    /// <inheritdoc />
    public ICollectiveHandle StartReceive(nint data, long bytes, int from, int tag) => Begin(new Operation(OperationKind.Receive, 0, data, bytes) { Peer = from, Tag = tag });

    /// <inheritdoc />
    public void AllReduceSum(Span<double> values)
    {
        fixed (double* data = values)
            Reduce((nint)data, values.Length, Element.Double, max: false);
    }

    /// <inheritdoc />
    public void AllReduceMax(Span<double> values)
    {
        fixed (double* data = values)
            Reduce((nint)data, values.Length, Element.Double, max: true);
    }

    /// <inheritdoc />
    public void Broadcast(nint data, long bytes, int root) => Begin(new Operation(OperationKind.Broadcast, data, data, bytes) { Peer = root }).Wait();

    /// <inheritdoc />
    public void Barrier() => Begin(new Operation(OperationKind.Barrier)).Wait();

    /// <inheritdoc />
    public abstract void Abort(int exitCode);

    /// <inheritdoc />
    public abstract void Dispose();

    /// <summary>Why the ranks cannot go on, where that is known.</summary>
    internal virtual Exception? Failure => null;

    /// <summary>Starts an operation that was checked, numbered and counted.</summary>
    internal abstract ICollectiveHandle Start(Operation operation);

    /// <summary>Does a split.</summary>
    internal abstract ICollectives MakeGroup(Operation split);

    private void Reduce(nint data, int count, Element element, bool max) =>
        Begin(new Operation(OperationKind.AllReduce, data, data, count) { Element = element, Max = max }).Wait();

    private TimedHandle Begin(Operation operation)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(operation.Count);
        ArgumentOutOfRangeException.ThrowIfNegative(operation.Tag);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(operation.Tag, TagLimit);
        if (operation.IsMessage || operation.Kind == OperationKind.Broadcast)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(operation.Peer);
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(operation.Peer, WorldSize);
        }

        Enter(operation);
        long started = Stopwatch.GetTimestamp();
        return new TimedHandle(Start(operation), operation, started, this);
    }

    private Operation Enter(Operation operation)
    {
        operation.Number = operation.IsMessage ? ++_messages : ++_operations;
        Traffic.Add(Axis, operation, Rank, WorldSize);
        return operation;
    }

    /// <summary>Tells the counter how long the rank stood waiting.</summary>
    private sealed class TimedHandle(ICollectiveHandle handle, Operation operation, long started, CollectiveGroup group) : ICollectiveHandle
    {
        private bool _isTold;

        public void Wait()
        {
            long from = Stopwatch.GetTimestamp();
            handle.Wait();
            long until = Stopwatch.GetTimestamp();
            group.Traffic.AddWait(group.Axis, Stopwatch.GetElapsedTime(from, until));
            if (group.Traffic.Trace is { } trace && !_isTold)
                trace.Waited(group.Axis, operation.Name, TrafficCounter.Payload(operation, group.WorldSize), started, handle is ITimedOperation { DoneAt: > 0 } timed ? timed.DoneAt : until, from, until);
            _isTold = true;
        }
    }
}
