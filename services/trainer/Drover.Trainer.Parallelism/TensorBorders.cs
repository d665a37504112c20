using Drover.Trainer.Collectives;
using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Parallelism;

/// <summary>
/// Tensor parallelism: one sum over the ranks where a half block ends, and one, of gradients, where it begins. With
/// <paramref name="splitTokens"/> (split-gather) each rank keeps its part of the tokens outside the half blocks, and the sums
/// become a gather on the way in and a sum-and-scatter on the way out.
/// </summary>
internal sealed class TensorBorders(ICollectives tensor, bool splitTokens) : IHalfBlockBorders
{
    public Tensor Enter(Tensor x) => splitTokens ? tensor.GatherRows(x) : x;

    public Tensor Leave(Tensor partial) => splitTokens ? tensor.SumAndScatterRows(partial) : tensor.SumOverRanks(partial);

    public Tensor LeaveGradient(Tensor gradient) => Enter(gradient);

    public Tensor EnterGradient(Tensor gradient) => Leave(gradient);

    public void SumOverParts(Tensor values) => tensor.StartAllReduceSum(TensorMemory.AddressOf(values), values.numel()).Wait();
}

/// <summary>The vocabulary shared among the ranks of tensor parallelism.</summary>
internal sealed class TensorVocabulary(ICollectives group, long vocabulary) : IVocabularyRanks
{
    public long FirstId { get; } = CutTable.RangeOf(vocabulary, group.Rank, group.WorldSize).First;

    public bool IsCut => true;

    public void Max(Tensor values) => group.StartAllReduceMax(TensorMemory.AddressOf(values), values.numel()).Wait();

    public void Sum(Tensor values) => group.StartAllReduceSum(TensorMemory.AddressOf(values), values.numel()).Wait();
}
