using Drover.Errors;

namespace Drover.Trainer.Collectives;

/// <summary>A group of one rank: every operation is a copy or nothing. Needs no library.</summary>
public sealed unsafe class SingleRank : CollectiveGroup
{
    // Messages to itself, by tag and number.
    private readonly Dictionary<(int Tag, long Number), byte[]> _mail = [];
    private readonly Dictionary<int, long> _sent = [];
    private readonly Dictionary<int, long> _received = [];

    /// <summary>A world of one.</summary>
    public SingleRank()
        : this("world", new TrafficCounter())
    {
    }

    private SingleRank(string axis, TrafficCounter traffic)
        : base(axis, 0, 1, traffic)
    {
    }

    /// <inheritdoc />
    public override void Abort(int exitCode) => Environment.Exit(exitCode);

    /// <inheritdoc />
    public override void Dispose()
    {
        // Nothing is held.
    }

    internal override ICollectives MakeGroup(Operation split) => new SingleRank(split.NewAxis, Traffic);

    internal override ICollectiveHandle Start(Operation operation)
    {
        switch (operation.Kind)
        {
            case OperationKind.ReduceScatter or OperationKind.AllGather:
                Buffer.MemoryCopy((void*)operation.Source, (void*)operation.Destination, operation.Bytes, operation.Bytes);
                break;
            case OperationKind.AllToAll:
                ArgumentOutOfRangeException.ThrowIfNotEqual(operation.ReceiveBytes[0], operation.SendBytes[0]);
                Buffer.MemoryCopy((void*)operation.Source, (void*)operation.Destination, operation.SendBytes[0], operation.SendBytes[0]);
                break;
            case OperationKind.Send:
                _mail[(operation.Tag, Next(_sent, operation.Tag))] = new ReadOnlySpan<byte>((void*)operation.Source, checked((int)operation.Count)).ToArray();
                break;
            case OperationKind.Receive:
                return new Receipt(this, operation, Next(_received, operation.Tag));
        }

        return Done.Instance;
    }

    private static long Next(Dictionary<int, long> numbers, int tag) => numbers[tag] = numbers.GetValueOrDefault(tag) + 1;

    private sealed class Receipt(SingleRank owner, Operation operation, long number) : ICollectiveHandle
    {
        private bool _done;

        public void Wait()
        {
            if (_done)
                return;
            if (!owner._mail.Remove((operation.Tag, number), out byte[]? message))
                throw new DroverException(FailureCode.Internal, "COLLECTIVE_MISMATCH", $"The only rank waits in {operation.On(owner.Axis, [0])}, which it has not sent.");
            message.CopyTo(new Span<byte>((void*)operation.Destination, checked((int)operation.Count)));
            _done = true;
        }
    }
}

/// <summary>The handle of what was done at once.</summary>
internal sealed class Done : ICollectiveHandle
{
    public static Done Instance { get; } = new();

    public void Wait()
    {
    }
}
