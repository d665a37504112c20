using System.Runtime.InteropServices;
using Drover.Errors;

namespace Drover.Trainer.Collectives;

/// <summary>
/// Ranks with a GPU each over NCCL. Addresses of GPU memory go through NCCL, on a stream of its own: an operation begins when what the
/// compute stream (CUDA's default one) holds at its start is done, and its handle waits on the host until it has ended. Addresses of
/// host memory, and barriers, go through the group of the same ranks that it was made from.
/// <para>
/// NCCL has no tags and waits inside the stream: sends and receives are gathered and started as one group at the next wait or other
/// operation, and those between two ranks must be in the same order on both, whatever their tags.
/// </para>
/// <para>
/// Memory: libtorch computes on the default stream and hands freed memory to the next tensor in that stream's order. An operation starts
/// after all that the stream holds, so whoever had its memory before is done with it; its memory stays taken until its handle has been waited
/// for, and that waits for its end: nobody gets it while NCCL works.
/// </para>
/// </summary>
/// <remarks>Not run on a GPU yet: it is compiled, and only <see cref="IsAvailable"/> is tested.</remarks>
public sealed unsafe class Nccl : CollectiveGroup
{
    private const nint ComputeStream = 0;
    private readonly CollectiveGroup _host;
    private readonly nint _context;
    private readonly nint _stream;
    private readonly NcclCommunicator _communicator;
    private readonly List<(Operation Operation, Handle Handle)> _messages = [];
    private bool _disposed;

    private Nccl(CollectiveGroup host, nint context)
        : base(host.Axis, host.Rank, host.WorldSize, host.Traffic)
    {
        (_host, _context) = (host, context);
        CudaDriver.Use(context);
        _stream = CudaDriver.MakeStream();
        NcclId id = default;
        if (Rank == 0)
            NcclLibrary.ThrowIfFailed(NcclLibrary.ncclGetUniqueId(&id), "ncclGetUniqueId");
        host.Broadcast((nint)(&id), NcclId.Size, 0);
        nint communicator;
        NcclLibrary.ThrowIfFailed(NcclLibrary.ncclCommInitRank(&communicator, WorldSize, id, Rank), "ncclCommInitRank");
        _communicator = new NcclCommunicator(communicator);
    }

    /// <summary>Whether NCCL can be used here, and if not, why not and what to do. Fails never.</summary>
    public static bool IsAvailable(out string reason)
    {
        reason = "";
        if (!NativeLibrary.TryLoad(CudaDriver.FileName, typeof(Nccl).Assembly, null, out _))
            reason = $"{CudaDriver.FileName} was not found: this machine has no NVIDIA driver. Install it, or train on the CPU.";
        else if (!NativeLibrary.TryLoad(NcclLibrary.FileName, typeof(Nccl).Assembly, null, out _))
            reason = $"{NcclLibrary.FileName} was not found. Install it: apt-get install libnccl2; or train with ranks: 1.";
        else if (CudaDriver.CountDevices() == 0)
            reason = "The NVIDIA driver shows no GPU to this process. See nvidia-smi and CUDA_VISIBLE_DEVICES.";
        return reason.Length == 0;
    }

    /// <summary>Joins the ranks of a group by their GPUs; every rank calls it.</summary>
    /// <param name="host">The same ranks, for all that is not in GPU memory; used by nobody else from then on, and disposed with this.</param>
    /// <param name="device">This rank's GPU, from 0.</param>
    /// <exception cref="DroverException">FailedPrecondition where there is no NCCL or GPU.</exception>
    public static Nccl Join(ICollectives host, int device)
    {
        if (!IsAvailable(out string reason))
            throw new DroverException(FailureCode.FailedPrecondition, "NCCL_NOT_FOUND", reason);
        return new Nccl((CollectiveGroup)host, CudaDriver.OpenDevice(device));
    }

    internal override Exception? Failure => _host.Failure;

    /// <inheritdoc />
    public override void Abort(int exitCode)
    {
        _communicator.Abort();
        _host.Abort(exitCode);
    }

    /// <inheritdoc />
    public override void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        _communicator.Dispose();
        CudaDriver.FreeStream(_stream);
        _host.Dispose();
    }

    internal override ICollectives MakeGroup(Operation split)
    {
        var host = (CollectiveGroup)_host.MakeGroup(split);
        if (host.WorldSize > 1)
            return new Nccl(host, _context);
        // A communicator takes memory of the GPU: none for a rank that is alone on an axis.
        host.Dispose();
        return new SingleRank(split.NewAxis, Traffic, _context);
    }

    internal override ICollectiveHandle Start(Operation operation)
    {
        CudaDriver.Use(_context);
        if (!CudaDriver.IsOnDevice(operation.Source) && !CudaDriver.IsOnDevice(operation.Destination))
            return _host.Start(operation);
        var handle = new Handle(this);
        if (operation.IsMessage)
        {
            _messages.Add((operation, handle));
            return handle;
        }

        StartMessages();
        Order();
        NcclLibrary.ThrowIfFailed(Call(operation), operation.Name);
        handle.Event = CudaDriver.Record(_stream);
        return handle;
    }

    /// <summary>The stream goes on only after what has been computed so far.</summary>
    private void Order()
    {
        nint computed = CudaDriver.Record(ComputeStream);
        CudaDriver.WaitFor(_stream, computed);
        // Freed by the driver once it has come.
        CudaDriver.FreeEvent(computed);
    }

    private int Call(Operation operation)
    {
        (nint source, nint destination, nuint count) = (operation.Source, operation.Destination, (nuint)operation.Count);
        int type = operation.Element switch { Element.Float => NcclLibrary.Float, Element.Double => NcclLibrary.Double, _ => NcclLibrary.UnsignedByte };
        return operation.Kind switch
        {
            OperationKind.AllReduce => NcclLibrary.ncclAllReduce(source, destination, count, type, operation.Max ? NcclLibrary.Max : NcclLibrary.Sum, _communicator, _stream),
            OperationKind.ReduceScatter => NcclLibrary.ncclReduceScatter(source, destination, count, type, NcclLibrary.Sum, _communicator, _stream),
            OperationKind.AllGather => NcclLibrary.ncclAllGather(source, destination, count, type, _communicator, _stream),
            OperationKind.Broadcast => NcclLibrary.ncclBroadcast(source, destination, count, type, operation.Peer, _communicator, _stream),
            OperationKind.Send => NcclLibrary.ncclSend(source, count, type, operation.Peer, _communicator, _stream),
            OperationKind.Receive => NcclLibrary.ncclRecv(destination, count, type, operation.Peer, _communicator, _stream),
            OperationKind.AllToAll => AllToAll(operation),
            _ => throw new InvalidOperationException($"{operation.Name} has no address."),
        };
    }

    private int AllToAll(Operation operation)
    {
        (nint source, nint destination) = (operation.Source, operation.Destination);
        int code = NcclLibrary.ncclGroupStart();
        for (int r = 0; r < WorldSize && code == 0; r++)
        {
            (long send, long receive) = (operation.SendBytes[r], operation.ReceiveBytes[r]);
            if (send > 0)
                code = NcclLibrary.ncclSend(source, (nuint)send, NcclLibrary.UnsignedByte, r, _communicator, _stream);
            if (receive > 0 && code == 0)
                code = NcclLibrary.ncclRecv(destination, (nuint)receive, NcclLibrary.UnsignedByte, r, _communicator, _stream);
            source += (nint)send;
            destination += (nint)receive;
        }

        int end = NcclLibrary.ncclGroupEnd();
        return code != 0 ? code : end;
    }

    private void StartMessages()
    {
        if (_messages.Count == 0)
            return;
        Order();
        NcclLibrary.ThrowIfFailed(NcclLibrary.ncclGroupStart(), "ncclGroupStart");
        foreach ((Operation operation, _) in _messages)
            NcclLibrary.ThrowIfFailed(Call(operation), operation.Name);
        NcclLibrary.ThrowIfFailed(NcclLibrary.ncclGroupEnd(), "ncclGroupEnd");
        foreach ((_, Handle handle) in _messages)
            handle.Event = CudaDriver.Record(_stream);
        _messages.Clear();
    }

    /// <summary>Ends the communicator when NCCL or the other ranks say that it cannot go on.</summary>
    private void ThrowIfBroken()
    {
        int error = 0;
        int code = NcclLibrary.ncclCommGetAsyncError(_communicator, &error);
        if (Failure is null && code == 0 && error is (0 or NcclLibrary.InProgress))
            return;
        _communicator.Abort();
        if (Failure is { } lost)
            throw new DroverException(FailureCode.Unavailable, (lost as DroverException)?.Reason ?? "COLLECTIVE_FAILED", lost.Message, lost);
        NcclLibrary.ThrowIfFailed(code != 0 ? code : error, "ncclCommGetAsyncError");
    }

    private sealed class Handle(Nccl owner) : ICollectiveHandle
    {
        private bool _done;

        public nint Event { get; set; }

        public void Wait()
        {
            if (_done)
                return;
            CudaDriver.Use(owner._context);
            owner.StartMessages();
            while (!CudaDriver.IsDone(Event))
            {
                owner.ThrowIfBroken();
                Thread.Yield();
            }

            CudaDriver.FreeEvent(Event);
            _done = true;
        }
    }
}
