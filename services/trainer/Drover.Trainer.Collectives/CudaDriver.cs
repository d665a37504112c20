using System.Runtime.InteropServices;
using Drover.Errors;

namespace Drover.Trainer.Collectives;

/// <summary>
/// What NCCL needs of CUDA: streams and events of a device's primary context, which is the one that libtorch uses. Of the driver
/// (libcuda.so.1), not of the CUDA runtime: the driver is wherever a GPU is and has one name, the runtime's file name has its version.
/// </summary>
internal static unsafe partial class CudaDriver
{
    public const string FileName = "libcuda.so.1";
    public const int NotReady = 600;
    private const uint NonBlockingStream = 1;
    private const uint EventWithoutTime = 2;
    private const int ComputeCapabilityMajor = 75; // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
    private const int MemoryType = 2; // CU_POINTER_ATTRIBUTE_MEMORY_TYPE
    private const int DeviceMemory = 2; // CU_MEMORYTYPE_DEVICE

    /// <summary>How many GPUs this process sees; 0 where the driver does not start.</summary>
    public static int CountDevices()
    {
        int count = 0;
        return cuInit(0) == 0 && cuDeviceGetCount(&count) == 0 ? count : 0;
    }

    /// <summary>The primary context of a device.</summary>
    public static nint OpenDevice(int ordinal)
    {
        ThrowIfFailed(cuInit(0), "cuInit");
        int device;
        ThrowIfFailed(cuDeviceGet(&device, ordinal), "cuDeviceGet");
        nint context;
        ThrowIfFailed(cuDevicePrimaryCtxRetain(&context, device), "cuDevicePrimaryCtxRetain");
        return context;
    }

    /// <summary>Generation of a GPU: 8 for Ampere.</summary>
    public static int ComputeCapability(int ordinal)
    {
        ThrowIfFailed(cuInit(0), "cuInit");
        int device;
        ThrowIfFailed(cuDeviceGet(&device, ordinal), "cuDeviceGet");
        int major;
        ThrowIfFailed(cuDeviceGetAttribute(&major, ComputeCapabilityMajor, device), "cuDeviceGetAttribute");
        return major;
    }

    /// <summary>
    /// Copies bytes between any two places, after what CUDA's default stream holds; between places of the device in order with what follows on that
    /// stream, else it is done on return.
    /// </summary>
    public static void Copy(nint source, nint destination, long bytes) => ThrowIfFailed(cuMemcpy(destination, source, (nuint)bytes), "cuMemcpy");

    /// <summary>Makes the context that of the calling thread.</summary>
    public static void Use(nint context) => ThrowIfFailed(cuCtxSetCurrent(context), "cuCtxSetCurrent");

    public static nint MakeStream()
    {
        nint stream;
        ThrowIfFailed(cuStreamCreate(&stream, NonBlockingStream), "cuStreamCreate");
        return stream;
    }

    /// <summary>An event at the end of what the stream holds now.</summary>
    public static nint Record(nint stream)
    {
        nint made;
        ThrowIfFailed(cuEventCreate(&made, EventWithoutTime), "cuEventCreate");
        ThrowIfFailed(cuEventRecord(made, stream), "cuEventRecord");
        return made;
    }

    /// <summary>Lets a stream go on only after an event.</summary>
    public static void WaitFor(nint stream, nint @event) => ThrowIfFailed(cuStreamWaitEvent(stream, @event, 0), "cuStreamWaitEvent");

    /// <summary>Whether an event has come.</summary>
    public static bool IsDone(nint @event)
    {
        int code = cuEventQuery(@event);
        if (code != NotReady)
            ThrowIfFailed(code, "cuEventQuery");
        return code == 0;
    }

    public static void FreeEvent(nint @event) => _ = cuEventDestroy_v2(@event);

    public static void FreeStream(nint stream) => _ = cuStreamDestroy_v2(stream);

    /// <summary>Whether an address is in a GPU's memory. The driver knows no ordinary host memory, and says so by an error.</summary>
    public static bool IsOnDevice(nint address)
    {
        int type = 0;
        return address != 0 && cuPointerGetAttribute(&type, MemoryType, address) == 0 && type == DeviceMemory;
    }

    private static void ThrowIfFailed(int code, string operation)
    {
        if (code != 0)
            throw new DroverException(FailureCode.Unavailable, "COLLECTIVE_FAILED", $"CUDA: {operation}: error {code}");
    }

    [LibraryImport(FileName)]
    private static partial int cuInit(uint flags);

    [LibraryImport(FileName)]
    private static partial int cuDeviceGetCount(int* count);

    [LibraryImport(FileName)]
    private static partial int cuDeviceGet(int* device, int ordinal);

    [LibraryImport(FileName)]
    private static partial int cuDeviceGetAttribute(int* value, int attribute, int device);

    [LibraryImport(FileName)]
    private static partial int cuMemcpy(nint destination, nint source, nuint bytes);

    [LibraryImport(FileName)]
    private static partial int cuDevicePrimaryCtxRetain(nint* context, int device);

    [LibraryImport(FileName)]
    private static partial int cuCtxSetCurrent(nint context);

    [LibraryImport(FileName)]
    private static partial int cuStreamCreate(nint* stream, uint flags);

    [LibraryImport(FileName)]
    private static partial int cuStreamDestroy_v2(nint stream);

    [LibraryImport(FileName)]
    private static partial int cuStreamWaitEvent(nint stream, nint @event, uint flags);

    [LibraryImport(FileName)]
    private static partial int cuEventCreate(nint* made, uint flags);

    [LibraryImport(FileName)]
    private static partial int cuEventRecord(nint @event, nint stream);

    [LibraryImport(FileName)]
    private static partial int cuEventQuery(nint @event);

    [LibraryImport(FileName)]
    private static partial int cuEventDestroy_v2(nint @event);

    [LibraryImport(FileName)]
    private static partial int cuPointerGetAttribute(void* value, int attribute, nint address);
}
