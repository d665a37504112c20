using System.Runtime.Intrinsics;
using static TorchSharp.torch;

namespace Drover.Trainer.Model.Kernels;

/// <summary>
/// What the kernels of this folder have in common. They do in one pass over a row what libtorch does on CPUs operator by operator, each with its
/// own pass over memory. Its operators remain for other devices, for fp16, and as the twins that tests compare with. Loops are compiled optimized at once: a
/// step calls them too rarely for the runtime to find out that they matter.
/// </summary>
internal static class RowKernel
{
    /// <summary>Values that are computed at a time.</summary>
    public const int Lanes = 16;

    // Below it the threads cost more than they save.
    private const long LeastValuesForThreads = 1 << 15;

    /// <summary>Whether rows of a type are computed here: bf16 and fp32 in host memory, by processors with vectors of 512 bits.</summary>
    public static bool Takes(Tensor values) =>
        Vector512.IsHardwareAccelerated && values.device_type == TorchSharp.DeviceType.CPU && values.dtype is ScalarType.BFloat16 or ScalarType.Float32;

    /// <summary>As many parts as there are threads and work for them: sums that are taken by part are the same whenever the number of threads is.</summary>
    public static int PartsOf(long rows, long values) => values < LeastValuesForThreads ? 1 : (int)Math.Max(1, Math.Min(rows, get_num_threads()));

    /// <summary>Does the parts of some rows, given the part, its first row and their number, side by side.</summary>
    public static void ForParts(long rows, int parts, Action<int, long, long> work)
    {
        if (parts == 1)
            work(0, 0, rows);
        else
            LibraryThreads.ForEach(parts, part => work(part, rows * part / parts, (rows * (part + 1) / parts) - (rows * part / parts)));
    }
}
