using Drover.Errors;

namespace Drover.Trainer.Collectives;

/// <summary>A group of one rank: every operation is a copy or nothing. Needs no library but, for memory of a GPU, its driver.</summary>
public sealed unsafe class SingleRank : CollectiveGroup
{
    // Messages to itself, by tag and number.
    private readonly Dictionary<(int Tag, long Number), byte[]> _mail = [];
    private readonly Dictionary<int, long> _sent = [];
    private readonly Dictionary<int, long> _received = [];

    // CUDA's, of the GPU whose memory addresses may be in; 0 for none.
    private readonly nint _context;

    /// <summary>A world of one.</summary>
    public SingleRank()
        : this("world", new TrafficCounter(), 0)
    {
    }

    internal SingleRank(string axis, TrafficCounter traffic, nint context)
        : base(axis, 0, 1, traffic) => _context = context;

    /// <summary>A world of one whose addresses may be in a GPU's memory.</summary>
    /// <param name="device">The GPU, from 0.</param>
    /// <remarks>Not run on a GPU yet.</remarks>
    public static SingleRank WithGpu(int device) => new("world", new TrafficCounter(), CudaDriver.OpenDevice(device));

    /// <inheritdoc />
    public override void Abort(int exitCode) => Environment.Exit(exitCode);

    /// <inheritdoc />
    public override void Dispose()
    {
        // Nothing is held.
    }

    internal override ICollectives MakeGroup(Operation split) => new SingleRank(split.NewAxis, Traffic, _context);

    internal override ICollectiveHandle Start(Operation operation)
    {
        switch (operation.Kind)
        {
            case OperationKind.ReduceScatter or OperationKind.AllGather:
                Copy(operation.Source, operation.Destination, operation.Bytes);
                break;
            case OperationKind.AllToAll:
                ArgumentOutOfRangeException.ThrowIfNotEqual(operation.ReceiveBytes[0], operation.SendBytes[0]);
                Copy(operation.Source, operation.Destination, operation.SendBytes[0]);
                break;
            case OperationKind.Send:
                byte[] mail = new byte[operation.Count];
                fixed (byte* data = mail)
                    Copy(operation.Source, (nint)data, mail.Length);
                _mail[(operation.Tag, Next(_sent, operation.Tag))] = mail;
                break;
            case OperationKind.Receive:
                return new Receipt(this, operation, Next(_received, operation.Tag));
        }

        return Done.Instance;
    }

    private void Copy(nint source, nint destination, long bytes)
    {
        if (source == destination || bytes == 0)
            return;
        if (_context != 0)
            CudaDriver.Use(_context);
        if (_context != 0 && (CudaDriver.IsOnDevice(source) || CudaDriver.IsOnDevice(destination)))
            CudaDriver.Copy(source, destination, bytes);
        else
            Buffer.MemoryCopy((void*)source, (void*)destination, bytes, bytes);
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
            ArgumentOutOfRangeException.ThrowIfGreaterThan(message.Length, operation.Count);
            fixed (byte* data = message)
                owner.Copy((nint)data, operation.Destination, message.Length);
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
