using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>
/// Attention of a model that continues texts: with a cache, the first pass runs over whole documents and fills it, and each pass after that over
/// one token of each document and the keys that the cache has. Not for training.
/// </summary>
/// <param name="whole">For whole documents.</param>
public sealed class CachedAttention(IAttention whole) : IAttention
{
    /// <summary>The keys so far; null for passes that stand alone. Stays the caller's.</summary>
    public KeyValueCache? Cache { get; set; }

    /// <inheritdoc />
    public (Tensor Output, IDisposable? Kept) Forward(Tensor q, Tensor k, Tensor v, VisibleKeys visible)
    {
        if (Cache is not { IsEmpty: false } cache)
        {
            Cache?.Fill(k, v);
            return whole.Forward(q, k, v, visible);
        }

        using var scope = NewDisposeScope();
        (long heads, long documents, long size) = (q.shape[0], q.shape[1], q.shape[2]);
        (Tensor keys, Tensor values, Tensor mask) = cache.Append(k, v);
        // Query heads that share a key head are the queries of one product.
        Tensor queries = q.transpose(0, 1).reshape(documents * k.shape[0], heads / k.shape[0], size);
        Tensor mixed = AtenScripts.Attend(queries, keys, values, mask, 1 / Math.Sqrt(size));
        return (mixed.view(documents, heads, size).transpose(0, 1).contiguous().MoveToOuterDisposeScope(), null);
    }

    /// <inheritdoc />
    public (Tensor Q, Tensor K, Tensor V) Backward(Tensor gradient, Tensor q, Tensor k, Tensor v, Tensor output, IDisposable? kept, VisibleKeys visible) =>
        throw new NotSupportedException("Texts are continued without gradients.");
}
