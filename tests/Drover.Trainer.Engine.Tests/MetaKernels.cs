using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine.Tests;

/// <summary>
/// What libtorch's meta device lacks without Python: index_select, whose shape follows from its arguments. Registered through the C shim
/// (torch/csrc/inductor/aoti_torch/c/shim.h).
/// </summary>
internal static unsafe partial class MetaKernels
{
    private static readonly Lazy<bool> Registered = new(Register);

    /// <summary>Devices that met in an index_select and were not the same. A kernel cannot throw.</summary>
    public static ConcurrentBag<string> Mixtures { get; } = [];

    public static void Add() => Assert.True(Registered.Value);

    private static bool Register()
    {
        delegate* unmanaged<ulong*, ulong, ulong, void> kernel = &IndexSelect;
        return aoti_torch_library_init_impl("aten", "Meta", "MetaKernels.cs", 1, out nint library) == 0
            && aoti_torch_library_impl(library, "index_select", (nint)kernel) == 0;
    }

    // (Tensor self, int dim, Tensor index) -> Tensor; handles that come in are this function's, the one that goes out is the caller's.
    [UnmanagedCallersOnly]
    private static void IndexSelect(ulong* stack, ulong inputs, ulong outputs)
    {
        using var scope = NewDisposeScope();
        Tensor self = Tensor.UnsafeCreateTensor((nint)stack[0]), index = Tensor.UnsafeCreateTensor((nint)stack[2]);
        if (!self.is_meta || !index.is_meta)
            Mixtures.Add($"{self.device} with {index.device}");
        long[] shape = self.shape;
        shape[stack[1]] = index.numel();
        Tensor result = empty(shape, self.dtype, META);
        _ = aoti_torch_new_tensor_handle(result.Handle, out nint handle);
        stack[0] = (ulong)handle;
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
