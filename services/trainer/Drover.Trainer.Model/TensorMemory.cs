using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>The memory behind CPU tensors, for collectives and for copies in and out.</summary>
public static partial class TensorMemory
{
    /// <summary>Address of the first value of a contiguous CPU tensor. Keep the tensor alive while it is used.</summary>
    public static nint AddressOf(Tensor tensor)
    {
        if (aoti_torch_get_data_ptr(tensor.Handle, out nint address) != 0)
            throw new InvalidOperationException("The tensor has no memory of its own.");
        return address;
    }

    /// <summary>The values of a contiguous fp32 CPU tensor. Keep the tensor alive while it is used.</summary>
    public static unsafe Span<float> FloatsOf(Tensor tensor)
    {
        if (tensor.dtype != ScalarType.Float32 || tensor.device_type != TorchSharp.DeviceType.CPU || !tensor.is_contiguous())
            throw new InvalidOperationException($"A contiguous fp32 CPU tensor was expected, not {tensor.dtype} on {tensor.device}.");
        return new Span<float>((void*)AddressOf(tensor), checked((int)tensor.numel()));
    }

    // Of libtorch's C shim, stable by contract: torch/csrc/inductor/aoti_torch/c/shim.h.
    [LibraryImport("torch_cpu")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.AssemblyDirectory | DllImportSearchPath.SafeDirectories)]
    private static partial int aoti_torch_get_data_ptr(nint tensor, out nint address);
}
