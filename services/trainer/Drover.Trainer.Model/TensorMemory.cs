using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>The memory behind tensors, for collectives and for copies in and out, between host and device.</summary>
public static partial class TensorMemory
{
    /// <summary>Address of the first value of a contiguous tensor, in the memory of its device. Keep the tensor alive while it is used.</summary>
    public static nint AddressOf(Tensor tensor)
    {
        if (aoti_torch_get_data_ptr(tensor.Handle, out nint address) != 0)
            throw new InvalidOperationException("The tensor has no memory of its own.");
        return address;
    }

    /// <summary>The values of a contiguous fp32 CPU tensor. Keep the tensor alive while it is used.</summary>
    public static unsafe Span<float> FloatsOf(Tensor tensor)
    {
        if (tensor.dtype != ScalarType.Float32 || tensor.device_type != DeviceType.CPU || !tensor.is_contiguous())
            throw new InvalidOperationException($"A contiguous fp32 CPU tensor was expected, not {tensor.dtype} on {tensor.device}.");
        return new Span<float>((void*)AddressOf(tensor), checked((int)tensor.numel()));
    }

    /// <summary>Copies values of a flat fp32 tensor out, from <paramref name="first"/> on, wherever it lies.</summary>
    public static void CopyOut(Tensor source, long first, Span<float> target)
    {
        using var scope = NewDisposeScope();
        // Of a CPU tensor it is another name for the same memory.
        FloatsOf(source.narrow(0, first, target.Length).cpu()).CopyTo(target);
    }

    /// <summary>Sets values of a flat fp32 tensor, from <paramref name="first"/> on, wherever it lies.</summary>
    public static void CopyIn(ReadOnlySpan<float> source, Tensor target, long first)
    {
        using var scope = NewDisposeScope();
        Tensor stretch = target.narrow(0, first, source.Length);
        if (target.device_type == DeviceType.CPU)
        {
            source.CopyTo(FloatsOf(stretch));
            return;
        }

        Tensor staging = empty([source.Length], ScalarType.Float32, CPU);
        source.CopyTo(FloatsOf(staging));
        stretch.copy_(staging);
    }

    /// <summary>
    /// Copies values between places, the types may differ. To the device it goes on behind the caller's back where the host memory is pinned, in
    /// order with all that is computed there (TorchSharp has no streams of one's own): do not write the source before the device was next waited
    /// for. To the host the values are there on return.
    /// </summary>
    /// <param name="source">Left as it is.</param>
    /// <param name="target">Of the same shape.</param>
    /// <param name="isForHost">False: what goes to the host is only ever to come back, so that nobody need wait for it.</param>
    public static void Copy(Tensor source, Tensor target, bool isForHost = true)
    {
        // A meta tensor has a shape and no values: there is nothing to bring.
        if (source.is_meta && !target.is_meta)
            return;
        target.copy_(source, nonBlocking: !isForHost || target.device_type != DeviceType.CPU);
    }

    /// <summary>A flat tensor of host memory for what goes to a device and comes from it; values undefined.</summary>
    public static Tensor HostMemory(long count, ScalarType type, Device device) =>
        device.type == DeviceType.CUDA ? Pinned(count, type) : empty([count], type, CPU);

    /// <summary>A flat tensor of host memory that a GPU reads and writes by itself; values undefined.</summary>
    /// <exception cref="InvalidOperationException">This libtorch has no CUDA.</exception>
    public static unsafe Tensor Pinned(long count, ScalarType type)
    {
        long stride = 1;
        if (aoti_torch_empty_strided_pinned(1, &count, &stride, (int)type, (int)DeviceType.CPU, 0, out nint tensor) != 0)
            throw new InvalidOperationException("There is no pinned host memory without CUDA.");
        return Tensor.UnsafeCreateTensor(tensor);
    }

    // Of libtorch's C shim, stable by contract: torch/csrc/inductor/aoti_torch/c/shim.h.
    [LibraryImport("torch_cpu")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.AssemblyDirectory | DllImportSearchPath.SafeDirectories)]
    private static partial int aoti_torch_get_data_ptr(nint tensor, out nint address);

    [LibraryImport("torch_cpu")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.AssemblyDirectory | DllImportSearchPath.SafeDirectories)]
    private static unsafe partial int aoti_torch_empty_strided_pinned(long dims, long* sizes, long* strides, int type, int deviceType, int deviceIndex, out nint tensor);
}
