using System.Runtime.InteropServices;
using Drover.Errors;

namespace Drover.Trainer.Collectives;

/// <summary>What all Open MPI groups of a process share: the thread, the library's types, and its beginning and end.</summary>
internal sealed unsafe class MpiWorld
{
    public MpiWorld()
    {
        nint library = NativeLibrary.Load(OpenMpiLibrary.FileName, typeof(MpiWorld).Assembly, null);
        Communicator = NativeLibrary.GetExport(library, "ompi_mpi_comm_world");
        Types = new MpiTypes(
            NativeLibrary.GetExport(library, "ompi_mpi_byte"),
            NativeLibrary.GetExport(library, "ompi_mpi_float"),
            NativeLibrary.GetExport(library, "ompi_mpi_double"),
            NativeLibrary.GetExport(library, "ompi_mpi_op_sum"),
            NativeLibrary.GetExport(library, "ompi_mpi_op_max"));
        nint returnErrors = NativeLibrary.GetExport(library, "ompi_mpi_errors_return");
        Thread.Run(() =>
        {
            int provided = 0;
            OpenMpiLibrary.ThrowIfFailed(OpenMpiLibrary.MPI_Init_thread(null, null, OpenMpiLibrary.ThreadFunneled, &provided), "MPI_Init_thread");
            if (provided < OpenMpiLibrary.ThreadFunneled)
                throw new DroverException(FailureCode.FailedPrecondition, "MPI_WITHOUT_THREADS", "This Open MPI was built without threads. Install the distribution's openmpi-bin.");
            OpenMpiLibrary.ThrowIfFailed(OpenMpiLibrary.MPI_Comm_set_errhandler(Communicator, returnErrors), "MPI_Comm_set_errhandler");
        });
    }

    public CommunicationThread Thread { get; } = new();

    public MpiTypes Types { get; }

    /// <summary>MPI_COMM_WORLD.</summary>
    public nint Communicator { get; }

    /// <summary>What this rank does, for the others.</summary>
    public OperationJournal Journal { get; } = new();

    /// <summary>Null in a world of one.</summary>
    public RankWatch? Watch { get; set; }

    /// <summary>Rank and size in a group.</summary>
    public (int Rank, int Size) PlaceIn(nint communicator)
    {
        int rank = 0;
        int size = 0;
        Thread.Run(() =>
        {
            int r;
            int s;
            OpenMpiLibrary.ThrowIfFailed(OpenMpiLibrary.MPI_Comm_rank(communicator, &r), "MPI_Comm_rank");
            OpenMpiLibrary.ThrowIfFailed(OpenMpiLibrary.MPI_Comm_size(communicator, &s), "MPI_Comm_size");
            (rank, size) = (r, s);
        });
        return (rank, size);
    }

    /// <summary>Lets everybody go who waits for a rank that is lost.</summary>
    public void Lose(DroverException failure, Action<DroverException>? tell)
    {
        Thread.Fail(failure);
        tell?.Invoke(failure);
    }

    /// <summary>Leaves MPI, which waits for the other ranks; after a failure it does not, since they may be gone.</summary>
    public void End()
    {
        if (Thread.Failure is null)
            Thread.Run(() => OpenMpiLibrary.ThrowIfFailed(OpenMpiLibrary.MPI_Finalize(), "MPI_Finalize"));
        Watch?.Dispose();
        Thread.Dispose();
    }
}
