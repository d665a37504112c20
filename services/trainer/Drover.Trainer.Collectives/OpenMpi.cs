using System.Runtime.InteropServices;
using Drover.Errors;

namespace Drover.Trainer.Collectives;

/// <summary>
/// Ranks as processes over Open MPI, started by <c>mpirun</c>.
/// <para>
/// All MPI calls of a rank are made by one thread of their own, in the order in which they were asked for. Open MPI moves data only
/// inside MPI calls: a sum that was merely started would stand still while the rank computes. The thread keeps it moving; and because
/// it alone calls MPI, the order is the same on every rank whatever the caller waits for first, and MPI_THREAD_FUNNELED is enough.
/// While nobody waits, the thread looks in short naps, so that it does not take a core from the computation; once somebody waits
/// that core is free, and it blocks inside MPI.
/// </para>
/// </summary>
public sealed unsafe class OpenMpi : ICollectives
{
    private const int LargestCount = 1 << 28;
    private readonly CommunicationThread _thread = new();
    private readonly nint _world;
    private readonly nint _float;
    private readonly nint _double;
    private readonly nint _byte;
    private readonly nint _sum;
    private readonly nint _max;
    private bool _disposed;

    private OpenMpi(nint library)
    {
        _world = NativeLibrary.GetExport(library, "ompi_mpi_comm_world");
        _float = NativeLibrary.GetExport(library, "ompi_mpi_float");
        _double = NativeLibrary.GetExport(library, "ompi_mpi_double");
        _byte = NativeLibrary.GetExport(library, "ompi_mpi_byte");
        _sum = NativeLibrary.GetExport(library, "ompi_mpi_op_sum");
        _max = NativeLibrary.GetExport(library, "ompi_mpi_op_max");
        nint returnErrors = NativeLibrary.GetExport(library, "ompi_mpi_errors_return");
        int rank = 0;
        int size = 0;
        _thread.Run(() =>
        {
            int provided = 0;
            OpenMpiLibrary.ThrowIfFailed(OpenMpiLibrary.MPI_Init_thread(null, null, OpenMpiLibrary.ThreadFunneled, &provided), "MPI_Init_thread");
            if (provided < OpenMpiLibrary.ThreadFunneled)
                throw new DroverException(FailureCode.FailedPrecondition, "MPI_WITHOUT_THREADS", "This Open MPI was built without threads. Install the distribution's openmpi-bin.");
            OpenMpiLibrary.ThrowIfFailed(OpenMpiLibrary.MPI_Comm_set_errhandler(_world, returnErrors), "MPI_Comm_set_errhandler");
            int r = 0;
            int s = 0;
            OpenMpiLibrary.ThrowIfFailed(OpenMpiLibrary.MPI_Comm_rank(_world, &r), "MPI_Comm_rank");
            OpenMpiLibrary.ThrowIfFailed(OpenMpiLibrary.MPI_Comm_size(_world, &s), "MPI_Comm_size");
            (rank, size) = (r, s);
        });
        (Rank, WorldSize) = (rank, size);
    }

    /// <inheritdoc />
    public int Rank { get; }

    /// <inheritdoc />
    public int WorldSize { get; }

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
    /// <exception cref="DroverException">FailedPrecondition where Open MPI is missing.</exception>
    public static OpenMpi Join()
    {
        if (!IsAvailable(out string reason))
            throw new DroverException(FailureCode.FailedPrecondition, "MPI_NOT_FOUND", reason);
        return new OpenMpi(NativeLibrary.Load(OpenMpiLibrary.FileName, typeof(OpenMpi).Assembly, null));
    }

    /// <inheritdoc />
    public ICollectiveHandle StartAllReduceSum(nint data, long count) =>
        _thread.Start(call =>
        {
            for (long done = 0; done < count; done += LargestCount)
                SumPart(call, data + (nint)(done * sizeof(float)), (int)Math.Min(LargestCount, count - done));
        });

    /// <inheritdoc />
    public void AllReduceSum(Span<double> values) => Reduce(values, _sum);

    /// <inheritdoc />
    public void AllReduceMax(Span<double> values) => Reduce(values, _max);

    /// <inheritdoc />
    public void Broadcast(nint data, long bytes, int root) =>
        _thread.Run(() =>
        {
            for (long done = 0; done < bytes; done += LargestCount)
                OpenMpiLibrary.ThrowIfFailed(OpenMpiLibrary.MPI_Bcast(data + (nint)done, (int)Math.Min(LargestCount, bytes - done), _byte, root, _world), "MPI_Bcast");
        });

    /// <inheritdoc />
    public void AllGather(nint source, nint destination, long bytesPerRank) =>
        _thread.Run(() => OpenMpiLibrary.ThrowIfFailed(
            OpenMpiLibrary.MPI_Allgather(source, checked((int)bytesPerRank), _byte, destination, (int)bytesPerRank, _byte, _world), "MPI_Allgather"));

    /// <inheritdoc />
    public void ReduceScatterSum(nint source, nint destination, long countPerRank) =>
        _thread.Run(() => OpenMpiLibrary.ThrowIfFailed(
            OpenMpiLibrary.MPI_Reduce_scatter_block(source, destination, checked((int)countPerRank), _float, _sum, _world), "MPI_Reduce_scatter_block"));

    /// <inheritdoc />
    public void Barrier() => _thread.Run(() => OpenMpiLibrary.ThrowIfFailed(OpenMpiLibrary.MPI_Barrier(_world), "MPI_Barrier"));

    /// <inheritdoc />
    /// <remarks>Not on the communication thread: that may be inside a call which will never end.</remarks>
    public void Abort(int exitCode)
    {
        _ = OpenMpiLibrary.MPI_Abort(_world, exitCode);
        Environment.Exit(exitCode);
    }

    /// <inheritdoc />
    public void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        _thread.Run(() => OpenMpiLibrary.ThrowIfFailed(OpenMpiLibrary.MPI_Finalize(), "MPI_Finalize"));
        _thread.Dispose();
    }

    private void SumPart(CommunicationThread.Call call, nint data, int count)
    {
        nint request = 0;
        OpenMpiLibrary.ThrowIfFailed(OpenMpiLibrary.MPI_Iallreduce(OpenMpiLibrary.InPlace, data, count, _float, _sum, _world, &request), "MPI_Iallreduce");
        int done = 0;
        while (done == 0 && !call.IsAwaited)
        {
            OpenMpiLibrary.ThrowIfFailed(OpenMpiLibrary.MPI_Test(&request, &done, 0), "MPI_Test");
            if (done == 0)
                CommunicationThread.Call.Nap();
        }

        if (done == 0)
            OpenMpiLibrary.ThrowIfFailed(OpenMpiLibrary.MPI_Wait(&request, 0), "MPI_Wait");
    }

    private void Reduce(Span<double> values, nint operation)
    {
        fixed (double* data = values)
        {
            nint address = (nint)data;
            int count = values.Length;
            _thread.Run(() => OpenMpiLibrary.ThrowIfFailed(OpenMpiLibrary.MPI_Allreduce(OpenMpiLibrary.InPlace, address, count, _double, operation, _world), "MPI_Allreduce"));
        }
    }
}
