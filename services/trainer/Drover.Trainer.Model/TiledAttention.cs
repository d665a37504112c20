using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>
/// Attention by library products over tiles of queries: what the causal mask and the documents leave, nothing quadratic in memory.
/// On the CPUs tried it takes half the time of libtorch's flash attention (benchmarks/results).
/// The backward pass computes the probabilities again.
/// </summary>
public sealed class TiledAttention : IAttention
{
    /// <inheritdoc />
    public (Tensor Output, IDisposable? Kept) Forward(Tensor q, Tensor k, Tensor v, VisibleKeys visible)
    {
        using var scope = NewDisposeScope();
        (Tensor keys, Tensor values) = (ForEveryQueryHead(k, q), ForEveryQueryHead(v, q));
        double scale = 1 / Math.Sqrt(q.shape[2]);
        Tensor output = empty_like(q);
        foreach (AttentionTile tile in visible.Tiles)
        {
            using var inner = NewDisposeScope();
            Tensor part = TileAttention.Forward(Queries(q, tile), Keys(keys, tile), Keys(values, tile), visible.MaskOf(tile), scale);
            Queries(output, tile).copy_(part);
        }

        return (output.MoveToOuterDisposeScope(), null);
    }

    /// <inheritdoc />
    public (Tensor Q, Tensor K, Tensor V) Backward(Tensor gradient, Tensor q, Tensor k, Tensor v, Tensor output, IDisposable? kept, VisibleKeys visible)
    {
        using var scope = NewDisposeScope();
        (Tensor keys, Tensor values) = (ForEveryQueryHead(k, q), ForEveryQueryHead(v, q));
        double scale = 1 / Math.Sqrt(q.shape[2]);
        Tensor dq = empty_like(q), dk = zeros_like(keys, ScalarType.Float32), dv = zeros_like(values, ScalarType.Float32);
        foreach (AttentionTile tile in visible.Tiles)
        {
            using var inner = NewDisposeScope();
            (Tensor tileQ, Tensor tileK, Tensor tileV) = TileAttention.Backward(Queries(q, tile), Keys(keys, tile), Keys(values, tile), Queries(gradient, tile), visible.MaskOf(tile), scale);
            Queries(dq, tile).copy_(tileQ);
            Keys(dk, tile).add_(tileK, HeldScalars.One);
            Keys(dv, tile).add_(tileV, HeldScalars.One);
        }

        using TorchSharp.Scalar held = scale;
        return (dq.mul_(held).MoveToOuterDisposeScope(), OfKeyHeads(dk.mul_(held), k).MoveToOuterDisposeScope(), OfKeyHeads(dv, v).MoveToOuterDisposeScope());
    }

    /// <summary>Key heads repeated so that each query head has its own: [query heads, tokens, size].</summary>
    public static Tensor ForEveryQueryHead(Tensor k, Tensor q) =>
        k.shape[0] == q.shape[0] ? k : k.repeat_interleave(q.shape[0] / k.shape[0], 0);

    /// <summary>Gradient of <see cref="ForEveryQueryHead"/>: summed over the query heads that share a key head.</summary>
    public static Tensor OfKeyHeads(Tensor gradient, Tensor k) =>
        gradient.shape[0] == k.shape[0] ? gradient : gradient.view(k.shape[0], -1, k.shape[1], k.shape[2]).sum(1);

    private static Tensor Queries(Tensor t, AttentionTile tile) => t.narrow(1, tile.QueryStart, tile.QueryCount);

    private static Tensor Keys(Tensor t, AttentionTile tile) => t.narrow(1, tile.KeyStart, tile.KeyCount);
}
