using System.Runtime.InteropServices;

namespace Drover.Trainer.Model;

/// <summary>The C library's heap, from which libtorch takes CPU tensors.</summary>
public static partial class HostHeap
{
    private const int TrimThreshold = -1;
    private const int MappedBlocks = -4;

    /// <summary>
    /// Keeps freed memory in the process. By default glibc maps each large block anew and gives it back when it is freed: the kernel
    /// then clears every page of every large tensor, which costs a training step a fifth of its time. For processes whose work is
    /// training; a step asks for the same sizes again and again, so the heap does not grow. Does nothing on other C libraries.
    /// </summary>
    public static void KeepFreedMemory()
    {
        if (!NativeLibrary.TryLoad("libc.so.6", out nint libc) || !NativeLibrary.TryGetExport(libc, "mallopt", out _))
            return;
        _ = mallopt(MappedBlocks, 0);
        _ = mallopt(TrimThreshold, int.MaxValue);
    }

    /// <summary>
    /// Gives the pages of freed memory back, once. For the moment before something large and rare, such as the copy that a save writes: what steps
    /// freed lies in pieces of their own sizes, and the next steps take from it again what they need.
    /// </summary>
    public static void GiveBackFreedMemory()
    {
        if (NativeLibrary.TryLoad("libc.so.6", out nint libc) && NativeLibrary.TryGetExport(libc, "malloc_trim", out _))
            _ = malloc_trim(0);
    }

    [LibraryImport("libc.so.6")]
    private static partial int mallopt(int parameter, int value);

    [LibraryImport("libc.so.6")]
    private static partial int malloc_trim(nuint keep);
}
