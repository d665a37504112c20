using System.Runtime.InteropServices;
using Drover.Errors;

namespace Drover.Trainer.Collectives;

/// <summary>
/// The C interface of Open MPI 4 (libmpi.so.40). Its handles (communicators, types, operations) are addresses of symbols
/// that the library exports; <c>MPI_IN_PLACE</c> is 1.
/// </summary>
internal static unsafe partial class OpenMpiLibrary
{
    public const string FileName = "libmpi.so.40";
    public const nint InPlace = 1;
    public const int ThreadFunneled = 1;
    private const int MaxErrorText = 256;

    [LibraryImport(FileName)]
    public static partial int MPI_Init_thread(int* argc, nint* argv, int required, int* provided);

    [LibraryImport(FileName)]
    public static partial int MPI_Finalize();

    [LibraryImport(FileName)]
    public static partial int MPI_Abort(nint communicator, int exitCode);

    [LibraryImport(FileName)]
    public static partial int MPI_Comm_rank(nint communicator, int* rank);

    [LibraryImport(FileName)]
    public static partial int MPI_Comm_size(nint communicator, int* size);

    [LibraryImport(FileName)]
    public static partial int MPI_Comm_set_errhandler(nint communicator, nint handler);

    [LibraryImport(FileName)]
    public static partial int MPI_Comm_split(nint communicator, int color, int key, nint* made);

    [LibraryImport(FileName)]
    public static partial int MPI_Comm_dup(nint communicator, nint* made);

    [LibraryImport(FileName)]
    public static partial int MPI_Comm_free(nint* communicator);

    [LibraryImport(FileName)]
    public static partial int MPI_Isend(nint data, int count, nint type, int to, int tag, nint communicator, nint* request);

    [LibraryImport(FileName)]
    public static partial int MPI_Irecv(nint data, int count, nint type, int from, int tag, nint communicator, nint* request);

    [LibraryImport(FileName)]
    public static partial int MPI_Iallreduce(nint source, nint destination, int count, nint type, nint operation, nint communicator, nint* request);

    [LibraryImport(FileName)]
    public static partial int MPI_Ibcast(nint data, int count, nint type, int root, nint communicator, nint* request);

    [LibraryImport(FileName)]
    public static partial int MPI_Ibarrier(nint communicator, nint* request);

    [LibraryImport(FileName)]
    public static partial int MPI_Testall(int count, nint* requests, int* done, nint statuses);

    [LibraryImport(FileName)]
    private static partial int MPI_Error_string(int code, byte* text, int* length);

    /// <summary>Turns the code that every function returns into a failure.</summary>
    public static void ThrowIfFailed(int code, string operation)
    {
        if (code == 0)
            return;
        byte* text = stackalloc byte[MaxErrorText];
        int length = 0;
        string why = MPI_Error_string(code, text, &length) == 0 ? Marshal.PtrToStringUTF8((nint)text, length) : $"error {code}";
        throw new DroverException(FailureCode.Unavailable, "COLLECTIVE_FAILED", $"Open MPI: {operation}: {why}");
    }
}
