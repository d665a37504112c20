using Drover.Trainer.Collectives;
using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Parallelism;

/// <summary>
/// Makes gradients whole of weights that every rank of a cut holds. Where each rank saw only its part of the tokens (split-gather) they
/// are all sums over the ranks; else only those of weights that a rank uses on its own heads are, and the rest is whole already.
/// </summary>
/// <param name="tensor">The ranks of the cut.</param>
/// <param name="splitTokens">Whether they share the tokens outside the half blocks.</param>
public sealed class UncutGradients(ICollectives tensor, bool splitTokens)
{
    /// <summary>Sums them in a block's flat gradient, before it is reduced over the data axis.</summary>
    public void Sum(BlockWeights weights, Tensor gradient)
    {
        long count = splitTokens ? weights.Count - weights.UncutStart : weights.PartialCount;
        if (tensor.WorldSize == 1 || count == 0)
            return;
        using var scope = NewDisposeScope();
        Tensor uncut = gradient.narrow(0, weights.UncutStart, count);
        tensor.StartAllReduceSum(TensorMemory.AddressOf(uncut), count).Wait();
    }
}
