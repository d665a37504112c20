using Drover.Trainer.Collectives;
using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Parallelism;

/// <summary>
/// Sequence parallelism by all-to-all (DeepSpeed Ulysses): a rank gives away the heads of its tokens and gets the tokens of its
/// heads, attends over the whole row, and gives the results back.
/// </summary>
/// <param name="sequence">The ranks.</param>
/// <param name="inner">Over the whole row.</param>
internal sealed class HeadExchangeAttention(ICollectives sequence, IAttention inner) : IAttention
{
    public (Tensor Output, IDisposable? Kept) Forward(Tensor q, Tensor k, Tensor v, VisibleKeys visible)
    {
        using var scope = NewDisposeScope();
        (Tensor queries, Tensor keys, Tensor values) = (ToHeads(q), ToHeads(Shareable(k, q)), ToHeads(Shareable(v, q)));
        (Tensor mixed, IDisposable? more) = inner.Forward(queries, keys, values, visible);
        return (ToTokens(mixed).MoveToOuterDisposeScope(), new Exchanged(queries, keys, values, mixed, more));
    }

    public (Tensor Q, Tensor K, Tensor V) Backward(Tensor gradient, Tensor q, Tensor k, Tensor v, Tensor output, IDisposable? kept, VisibleKeys visible)
    {
        using var scope = NewDisposeScope();
        var whole = (Exchanged)kept!;
        (Tensor dq, Tensor dk, Tensor dv) = inner.Backward(ToHeads(gradient), whole.Q, whole.K, whole.V, whole.Output, whole.More, visible);
        return (
            ToTokens(dq).MoveToOuterDisposeScope(),
            TiledAttention.OfKeyHeads(ToTokens(dk), k).MoveToOuterDisposeScope(),
            TiledAttention.OfKeyHeads(ToTokens(dv), v).MoveToOuterDisposeScope());
    }

    // Key heads that cannot be dealt to the ranks are repeated for every query head first.
    private Tensor Shareable(Tensor k, Tensor q) => k.shape[0] % sequence.WorldSize == 0 ? k : TiledAttention.ForEveryQueryHead(k, q);

    // [heads, tokens / ranks, size] to [heads / ranks, tokens, size].
    private Tensor ToHeads(Tensor t)
    {
        long ranks = sequence.WorldSize, heads = t.shape[0], tokens = t.shape[1], size = t.shape[2];
        using var scope = NewDisposeScope();
        Tensor received = Exchange(t.contiguous()).view(ranks, heads / ranks, tokens, size);
        return received.transpose(0, 1).contiguous().view(heads / ranks, ranks * tokens, size).MoveToOuterDisposeScope();
    }

    // The way back.
    private Tensor ToTokens(Tensor t)
    {
        long ranks = sequence.WorldSize, heads = t.shape[0], tokens = t.shape[1], size = t.shape[2];
        using var scope = NewDisposeScope();
        Tensor parts = t.contiguous().view(heads, ranks, tokens / ranks, size).transpose(0, 1).contiguous();
        return Exchange(parts).view(heads * ranks, tokens / ranks, size).MoveToOuterDisposeScope();
    }

    private Tensor Exchange(Tensor parts)
    {
        Tensor received = empty_like(parts);
        long[] bytes = new long[sequence.WorldSize];
        Array.Fill(bytes, parts.numel() * parts.element_size() / sequence.WorldSize);
        sequence.AllToAll(TensorMemory.AddressOf(parts), TensorMemory.AddressOf(received), bytes, bytes);
        return received;
    }

    private sealed record Exchanged : IDisposable
    {
        public Exchanged(Tensor q, Tensor k, Tensor v, Tensor output, IDisposable? more) =>
            (Q, K, V, Output, More) = (q.DetachFromDisposeScope(), k.DetachFromDisposeScope(), v.DetachFromDisposeScope(), output.DetachFromDisposeScope(), more);

        public Tensor Q { get; }

        public Tensor K { get; }

        public Tensor V { get; }

        public Tensor Output { get; }

        public IDisposable? More { get; }

        public void Dispose()
        {
            Q.Dispose();
            K.Dispose();
            V.Dispose();
            Output.Dispose();
            More?.Dispose();
        }
    }
}
