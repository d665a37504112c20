using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using static TorchSharp.torch;

namespace Drover.Trainer.Model.Kernels;

/// <summary>Adds bf16 values to fp32 sums. libtorch first makes fp32 values of all of them, in memory of their own.</summary>
internal static unsafe class AccumulateKernel
{
    /// <summary>Whether it takes these.</summary>
    public static bool Takes(Tensor sum, Tensor values) =>
        RowKernel.Takes(sum) && sum.dtype == ScalarType.Float32 && values.dtype == ScalarType.BFloat16 && sum.is_contiguous() && values.is_contiguous();

    /// <summary>sum += scale * values.</summary>
    public static void Add(Tensor sum, Tensor values, float scale)
    {
        long count = sum.numel(), groups = (count + RowKernel.Lanes - 1) / RowKernel.Lanes;
        float* to = (float*)TensorMemory.AddressOf(sum);
        Bf16* from = (Bf16*)TensorMemory.AddressOf(values);
        RowKernel.ForParts(groups, RowKernel.PartsOf(groups, count), (_, first, some) =>
            AddStretch(to, from, first * RowKernel.Lanes, Math.Min(count, (first + some) * RowKernel.Lanes), scale));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddStretch(float* to, Bf16* from, long first, long end, float scale)
    {
        long i = first;
        for (; i + RowKernel.Lanes <= end; i += RowKernel.Lanes)
            Vector512.FusedMultiplyAdd(Bf16.Load(from + i), Vector512.Create(scale), Vector512.Load(to + i)).Store(to + i);
        for (; i < end; i++)
            to[i] += scale * Bf16.Read(from[i]);
    }
}
