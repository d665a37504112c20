using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Drover.Errors;

namespace Drover.Trainer.Collectives;

/// <summary>The C interface of NCCL 2 (libnccl.so.2).</summary>
internal static unsafe partial class NcclLibrary
{
    public const string FileName = "libnccl.so.2";
    public const int UnsignedByte = 1;
    public const int Float = 7;
    public const int Double = 8;
    public const int Sum = 0;
    public const int Max = 2;
    public const int InProgress = 7;

    [LibraryImport(FileName)]
    public static partial int ncclGetUniqueId(NcclId* id);

    [LibraryImport(FileName)]
    public static partial int ncclCommInitRank(nint* communicator, int ranks, NcclId id, int rank);

    [LibraryImport(FileName)]
    public static partial int ncclCommDestroy(nint communicator);

    [LibraryImport(FileName)]
    public static partial int ncclCommAbort(nint communicator);

    [LibraryImport(FileName)]
    public static partial int ncclCommGetAsyncError(NcclCommunicator communicator, int* error);

    [LibraryImport(FileName)]
    public static partial int ncclAllReduce(nint source, nint destination, nuint count, int type, int operation, NcclCommunicator communicator, nint stream);

    [LibraryImport(FileName)]
    public static partial int ncclReduceScatter(nint source, nint destination, nuint countPerRank, int type, int operation, NcclCommunicator communicator, nint stream);

    [LibraryImport(FileName)]
    public static partial int ncclAllGather(nint source, nint destination, nuint countPerRank, int type, NcclCommunicator communicator, nint stream);

    [LibraryImport(FileName)]
    public static partial int ncclBroadcast(nint source, nint destination, nuint count, int type, int root, NcclCommunicator communicator, nint stream);

    [LibraryImport(FileName)]
    public static partial int ncclSend(nint source, nuint count, int type, int to, NcclCommunicator communicator, nint stream);

    [LibraryImport(FileName)]
    public static partial int ncclRecv(nint destination, nuint count, int type, int from, NcclCommunicator communicator, nint stream);

    [LibraryImport(FileName)]
    public static partial int ncclGroupStart();

    [LibraryImport(FileName)]
    public static partial int ncclGroupEnd();

    [LibraryImport(FileName)]
    private static partial nint ncclGetErrorString(int code);

    /// <summary>Turns the code that every function returns into a failure.</summary>
    public static void ThrowIfFailed(int code, string operation)
    {
        if (code is not (0 or InProgress))
            throw new DroverException(FailureCode.Unavailable, "COLLECTIVE_FAILED", $"NCCL: {operation}: {Marshal.PtrToStringUTF8(ncclGetErrorString(code))}");
    }
}

/// <summary>What the ranks of an NCCL communicator find each other by: 128 bytes.</summary>
[InlineArray(Size)]
internal struct NcclId
{
    public const int Size = 128;
    private byte _first;
}

/// <summary>An NCCL communicator.</summary>
internal sealed class NcclCommunicator : SafeHandle
{
    private bool _aborted;

    public NcclCommunicator(nint communicator)
        : base(0, ownsHandle: true) => SetHandle(communicator);

    public override bool IsInvalid => handle == 0;

    /// <summary>Ends what is under way: a kernel that waits for a lost rank would hold the GPU for ever.</summary>
    public void Abort()
    {
        if (!_aborted && !IsClosed)
            _ = NcclLibrary.ncclCommAbort(handle);
        _aborted = true;
    }

    // Aborting frees it as well.
    protected override bool ReleaseHandle() => _aborted || NcclLibrary.ncclCommDestroy(handle) == 0;
}
