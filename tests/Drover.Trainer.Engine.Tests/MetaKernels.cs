using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine.Tests;

/// <summary>
/// What libtorch's meta device lacks without Python, where shapes follow from the arguments. Registered through the C shim
/// (torch/csrc/inductor/aoti_torch/c/shim.h).
/// </summary>
internal static unsafe partial class MetaKernels
{
    private static readonly Lazy<bool> Registered = new(Register);

    /// <summary>Devices that met in one of them and were not the same. A kernel cannot throw.</summary>
    public static ConcurrentBag<string> Mixtures { get; } = [];

    public static void Add() => Assert.True(Registered.Value);

    private static bool Register()
    {
        delegate* unmanaged<ulong*, ulong, ulong, void> select = &IndexSelect, norm = &LayerNormBackward;
        return aoti_torch_library_init_impl("aten", "Meta", "MetaKernels.cs", 1, out nint library) == 0
            && aoti_torch_library_impl(library, "index_select", (nint)select) == 0
            && aoti_torch_library_impl(library, "native_layer_norm_backward", (nint)norm) == 0;
    }

    // (Tensor self, int dim, Tensor index) -> Tensor; handles that come in are this function's, the one that goes out is the caller's.
    [UnmanagedCallersOnly]
    private static void IndexSelect(ulong* stack, ulong inputs, ulong outputs)
    {
        using var scope = NewDisposeScope();
        Tensor self = Tensor.UnsafeCreateTensor((nint)stack[0]), index = Tensor.UnsafeCreateTensor((nint)stack[2]);
        Compare(self, index);
        long[] shape = self.shape;
        shape[stack[1]] = index.numel();
        stack[0] = New(empty(shape, self.dtype, META));
    }

    // (Tensor grad_out, Tensor input, int[] normalized_shape, Tensor mean, Tensor rstd, Tensor? weight, Tensor? bias, bool[3] output_mask) -> three tensors;
    // an optional argument is the address of one.
    [UnmanagedCallersOnly]
    private static void LayerNormBackward(ulong* stack, ulong inputs, ulong outputs)
    {
        using var scope = NewDisposeScope();
        Tensor gradient = Tensor.UnsafeCreateTensor((nint)stack[0]), x = Tensor.UnsafeCreateTensor((nint)stack[1]);
        Tensor mean = Tensor.UnsafeCreateTensor((nint)stack[3]), rstd = Tensor.UnsafeCreateTensor((nint)stack[4]), weight = Tensor.UnsafeCreateTensor((nint)(*(ulong*)stack[5]));
        foreach (Tensor other in new[] { x, mean, rstd, weight })
            Compare(gradient, other);
        (stack[0], stack[1], stack[2]) = (New(empty_like(x)), New(empty_like(weight)), New(empty_like(weight)));
    }

    private static void Compare(Tensor one, Tensor other)
    {
        if (!one.is_meta || !other.is_meta)
            Mixtures.Add($"{one.device} with {other.device}");
    }

    private static ulong New(Tensor tensor)
    {
        _ = aoti_torch_new_tensor_handle(tensor.Handle, out nint handle);
        return (ulong)handle;
    }

    [LibraryImport("torch_cpu", StringMarshalling = StringMarshalling.Utf8)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.AssemblyDirectory | DllImportSearchPath.SafeDirectories)]
    private static partial int aoti_torch_library_init_impl(string name, string key, string file, uint line, out nint library);

    [LibraryImport("torch_cpu", StringMarshalling = StringMarshalling.Utf8)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.AssemblyDirectory | DllImportSearchPath.SafeDirectories)]
    private static partial int aoti_torch_library_impl(nint library, string name, nint kernel);

    [LibraryImport("torch_cpu")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.AssemblyDirectory | DllImportSearchPath.SafeDirectories)]
    private static partial int aoti_torch_new_tensor_handle(nint tensor, out nint made);
}
