using Drover.Trainer.Collectives;
using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Parallelism;

/// <summary>Collectives on tensors. Sums are fp32 whatever the type: there is no 16-bit sum in MPI, and it would lose bits.</summary>
internal static class TensorCollectives
{
    /// <summary>The sum over the ranks, in the tensor's type; the argument may be overwritten.</summary>
    public static Tensor SumOverRanks(this ICollectives group, Tensor partial)
    {
        using var scope = NewDisposeScope();
        Tensor sum = partial.to(ScalarType.Float32).contiguous();
        group.StartAllReduceSum(TensorMemory.AddressOf(sum), sum.numel()).Wait();
        return sum.to(partial.dtype).MoveToOuterDisposeScope();
    }

    /// <summary>The ranks' rows one after the other: [rows, columns] of each becomes [ranks * rows, columns].</summary>
    public static Tensor GatherRows(this ICollectives group, Tensor rows)
    {
        using var scope = NewDisposeScope();
        Tensor mine = rows.contiguous();
        Tensor all = empty([mine.shape[0] * group.WorldSize, mine.shape[1]], mine.dtype, mine.device);
        group.AllGather(TensorMemory.AddressOf(mine), TensorMemory.AddressOf(all), mine.numel() * mine.element_size());
        return all.MoveToOuterDisposeScope();
    }

    /// <summary>This rank's rows of the sum over the ranks: [ranks * rows, columns] becomes [rows, columns].</summary>
    public static Tensor SumAndScatterRows(this ICollectives group, Tensor partial)
    {
        using var scope = NewDisposeScope();
        Tensor all = partial.to(ScalarType.Float32).contiguous();
        Tensor mine = empty([all.shape[0] / group.WorldSize, all.shape[1]], ScalarType.Float32, all.device);
        group.ReduceScatterSum(TensorMemory.AddressOf(all), TensorMemory.AddressOf(mine), mine.numel());
        return mine.to(partial.dtype).MoveToOuterDisposeScope();
    }
}
