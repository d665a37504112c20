using Drover.Trainer.Model.Kernels;
using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>Attention of one tile of queries to the keys that any of them sees: library products, and a softmax between them.</summary>
internal static class TileAttention
{
    /// <summary>softmax(scale q k' + mask) v: q [heads, queries, size], k and v [heads, keys, size], mask [queries, keys] in their type.</summary>
    public static Tensor Forward(Tensor q, Tensor k, Tensor v, Tensor mask, double scale)
    {
        if (!AttentionKernel.Takes(q, mask))
            return AtenScripts.Attend(q, k, v, mask, scale);
        return Probabilities(q, k, mask, scale).bmm(v);
    }

    /// <summary>Gradients of <see cref="Forward"/> of q, k, v; those of q and k still lack the factor scale.</summary>
    public static (Tensor Q, Tensor K, Tensor V) Backward(Tensor q, Tensor k, Tensor v, Tensor gradient, Tensor mask, double scale)
    {
        if (!AttentionKernel.Takes(q, mask))
            return AtenScripts.AttendBackward(q, k, v, gradient, mask, scale);
        Tensor probabilities = Probabilities(q, k, mask, scale), scores = gradient.bmm(v.transpose(1, 2));
        AttentionKernel.Backward(scores, probabilities);
        return (scores.bmm(k), scores.transpose(1, 2).bmm(q), probabilities.transpose(1, 2).bmm(gradient));
    }

    private static Tensor Probabilities(Tensor q, Tensor k, Tensor mask, double scale)
    {
        Tensor scores = q.bmm(k.transpose(1, 2));
        AttentionKernel.Softmax(scores, mask, scale);
        return scores;
    }
}
