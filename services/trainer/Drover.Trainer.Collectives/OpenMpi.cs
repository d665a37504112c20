using System.Runtime.InteropServices;
using Drover.Errors;

namespace Drover.Trainer.Collectives;

/// <summary>
/// Ranks as processes over Open MPI, started by <c>mpirun</c>.
/// <para>
/// All MPI calls of a rank, whatever the group, are made by one thread of their own, in the order in which they were asked for;
/// so MPI_THREAD_FUNNELED is enough. See <see cref="CommunicationThread"/>.
/// </para>
/// <para>
/// Each group has two communicators: one for its sends and receives, whose tags are the caller's, and one for all else. There, sums
/// of fp32 values go through a <see cref="SumLane"/>; gathers and all-to-all are messages to each rank, which is what Open MPI's
/// non-blocking forms do as well, without their limit of 2 GB; the rest are Open MPI's own.
/// </para>
/// </summary>
public sealed unsafe class OpenMpi : CollectiveGroup
{
    private const int TagLimit = 1 << 30;
    private readonly MpiWorld _world;
    private readonly WatchedGroup _group;
    private readonly bool _isWorld;
    private readonly SumLane _sums;
    private nint _messages;
    private nint _others;
    private int _nextTag;
    private bool _disposed;

    private OpenMpi(MpiWorld world, WatchedGroup group, int rank, nint messages, nint others, TrafficCounter traffic)
        : base(group.Axis, rank, group.Members.Length, traffic)
    {
        (_world, _group, _messages, _others) = (world, group, messages, others);
        _isWorld = messages == world.Communicator;
        _sums = new SumLane(world.Types, others, Rank, WorldSize);
    }

    /// <summary>Whether this process was started by mpirun.</summary>
    public static bool StartedByMpirun => Environment.GetEnvironmentVariable("OMPI_COMM_WORLD_SIZE") is not null;

    /// <summary>Whether Open MPI can be used here, and if not, why not and what to do.</summary>
    public static bool IsAvailable(out string reason)
    {
        if (NativeLibrary.TryLoad(OpenMpiLibrary.FileName, typeof(OpenMpi).Assembly, null, out nint library))
        {
            bool whole = NativeLibrary.TryGetExport(library, "ompi_mpi_comm_world", out _);
            reason = whole ? "" : $"{OpenMpiLibrary.FileName} is not Open MPI 4. Install the distribution's: apt-get install openmpi-bin";
            return whole;
        }

        reason = $"{OpenMpiLibrary.FileName} (Open MPI 4) was not found. Install it: apt-get install openmpi-bin; or train with ranks: 1.";
        return false;
    }

    /// <summary>Joins the ranks that mpirun started. Once in a process.</summary>
    /// <param name="watch">How the ranks watch each other; default as <see cref="RankWatchOptions"/> says.</param>
    /// <param name="onRankLost">
    /// Called once, from a thread of its own, when another rank is gone or stuck, with what every operation fails with from then on.
    /// For a rank that is in the middle of a long computation; it should end the process.
    /// </param>
    /// <exception cref="DroverException">FailedPrecondition where Open MPI is missing.</exception>
    public static OpenMpi Join(RankWatchOptions? watch = null, Action<DroverException>? onRankLost = null)
    {
        if (!IsAvailable(out string reason))
            throw new DroverException(FailureCode.FailedPrecondition, "MPI_NOT_FOUND", reason);
        var mpi = new MpiWorld();
        (int rank, int size) = mpi.PlaceIn(mpi.Communicator);
        nint others = 0;
        mpi.Thread.Run(() => others = Duplicate(mpi.Communicator));
        var world = new OpenMpi(mpi, new WatchedGroup("world", "world", [.. Enumerable.Range(0, size)]), rank, mpi.Communicator, others, new TrafficCounter());
        if (size > 1)
            mpi.Watch = RankWatch.Start(world, mpi.Journal, watch ?? new RankWatchOptions(), failure => mpi.Lose(failure, onRankLost));
        // What the ranks said to find each other is not the caller's traffic.
        world.Traffic.Reset();
        return world;
    }

    /// <inheritdoc />
    /// <remarks>Not on the communication thread: that may be inside a call which will never end.</remarks>
    public override void Abort(int exitCode)
    {
        _ = OpenMpiLibrary.MPI_Abort(_world.Communicator, exitCode);
        Environment.Exit(exitCode);
    }

    /// <inheritdoc />
    public override void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        if (_world.Thread.Failure is null)
            _world.Thread.Run(Free);
        if (_isWorld)
            _world.End();
    }

    internal override Exception? Failure => _world.Thread.Failure;

    internal override ICollectiveHandle Start(Operation operation) => Start(operation, operation.Kind switch
    {
        OperationKind.Send => Messages(r => r.Send(operation.Source, operation.Count, operation.Peer, operation.Tag)),
        OperationKind.Receive => Messages(r => r.Receive(operation.Destination, operation.Count, operation.Peer, operation.Tag)),
        OperationKind.AllReduce when operation is { Element: Element.Float, Max: false } => Sum(operation),
        OperationKind.AllReduce => Others(r => r.Reduce(operation.Source, operation.Count, operation.Element, operation.Max)),
        OperationKind.ReduceScatter => Sum(operation),
        OperationKind.AllGather => Gather(operation),
        OperationKind.AllToAll => AllToAll(operation),
        OperationKind.Broadcast => Others(r => r.Broadcast(operation.Source, operation.Count, operation.Peer)),
        _ => Others(r => r.Barrier()),
    });

    /// <remarks>
    /// MPI_Comm_split blocks, and no other operation moves meanwhile. The barrier before it does not block: when it is over, every
    /// rank's thread goes into the split without waiting for anything else.
    /// </remarks>
    internal override ICollectives MakeGroup(Operation split)
    {
        nint messages = 0;
        nint others = 0;
        Start(split, Others(r => r.Barrier(), () =>
        {
            nint made;
            OpenMpiLibrary.ThrowIfFailed(OpenMpiLibrary.MPI_Comm_split(_others, split.Peer, Rank, &made), "MPI_Comm_split");
            (messages, others) = (made, Duplicate(made));
        })).Wait();
        (int rank, int size) = _world.PlaceIn(messages);
        int[] colors = new int[WorldSize];
        colors[Rank] = split.Peer;
        fixed (int* all = colors)
            Start(split, Gather(new Operation(OperationKind.AllGather, (nint)(all + Rank), (nint)all, sizeof(int)))).Wait();
        int[] members = [.. _group.Members.Where((_, r) => colors[r] == split.Peer)];
        return new OpenMpi(_world, new WatchedGroup($"{_group.Id}/{split.NewAxis}:{split.Number}:{split.Peer}", split.NewAxis, members), rank, messages, others, Traffic);
    }

    private ICollectiveHandle Start(Operation operation, MpiOperation work) => _world.Journal.Note(_group, operation, _world.Thread.Start(work));

    private static nint Duplicate(nint communicator)
    {
        nint made;
        OpenMpiLibrary.ThrowIfFailed(OpenMpiLibrary.MPI_Comm_dup(communicator, &made), "MPI_Comm_dup");
        return made;
    }

    private MpiExchange Messages(Action<MpiRequests> begin) => new(new MpiRequests(_world.Types, _messages), begin);

    private MpiExchange Others(Action<MpiRequests> begin, Action? finish = null) => new(new MpiRequests(_world.Types, _others), begin, finish);

    private MpiSum Sum(Operation operation)
    {
        var sum = new MpiSum(_sums, operation);
        sum.FirstTag = TakeTags(checked((int)(2 * sum.Segments)));
        return sum;
    }

    private MpiExchange Gather(Operation operation)
    {
        int tag = TakeTags(1);
        return Others(requests =>
        {
            Copy(operation.Source, operation.Destination + (nint)(Rank * operation.Bytes), operation.Bytes);
            for (int r = 0; r < WorldSize; r++)
            {
                if (r == Rank)
                    continue;
                requests.Receive(operation.Destination + (nint)(r * operation.Bytes), operation.Bytes, r, tag);
                requests.Send(operation.Source, operation.Bytes, r, tag);
            }
        });
    }

    private MpiExchange AllToAll(Operation operation)
    {
        int tag = TakeTags(1);
        return Others(requests =>
        {
            nint source = operation.Source;
            nint destination = operation.Destination;
            for (int r = 0; r < WorldSize; r++)
            {
                (long send, long receive) = (operation.SendBytes[r], operation.ReceiveBytes[r]);
                if (r == Rank)
                {
                    Copy(source, destination, Math.Min(send, receive));
                }
                else
                {
                    requests.Receive(destination, receive, r, tag);
                    requests.Send(source, send, r, tag);
                }

                source += (nint)send;
                destination += (nint)receive;
            }
        });
    }

    private static void Copy(nint source, nint destination, long bytes)
    {
        if (source != destination)
            Buffer.MemoryCopy((void*)source, (void*)destination, bytes, bytes);
    }

    /// <summary>Tags for one operation. Taken when it is asked for, and so the same on every rank.</summary>
    private int TakeTags(int count)
    {
        if (_nextTag > TagLimit - count)
            _nextTag = 0;
        int first = _nextTag;
        _nextTag += count;
        return first;
    }

    private void Free()
    {
        _sums.Dispose();
        fixed (nint* messages = &_messages, others = &_others)
        {
            OpenMpiLibrary.ThrowIfFailed(OpenMpiLibrary.MPI_Comm_free(others), "MPI_Comm_free");
            if (!_isWorld)
                OpenMpiLibrary.ThrowIfFailed(OpenMpiLibrary.MPI_Comm_free(messages), "MPI_Comm_free");
        }
    }
}
