using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>What all layers need to know of a micro-batch: computed once, on the device, and shared by them.</summary>
public sealed class BatchContext : IDisposable
{
    // Measured on 512-token documents, 8 heads of 64, bf16: benchmarks/results.
    private const int TileSize = 256;
    private readonly Dictionary<AttentionTile, Tensor> _masks = [];
    private readonly int[] _documentStarts;
    private readonly Tensor _causal;
    private readonly int _longest;
    private readonly float _hidden;

    /// <summary>Prepares a batch.</summary>
    /// <param name="batch">Its tokens; stays the caller's.</param>
    /// <param name="rotary">Tables of the model.</param>
    /// <param name="type">Of the activations.</param>
    /// <param name="documentLengths">Of all documents that take part in attention; null for the batch's own.</param>
    public BatchContext(TokenBatch batch, RotaryTables rotary, ScalarType type, IReadOnlyList<long>? documentLengths = null)
    {
        using var scope = NewDisposeScope();
        Batch = batch;
        Type = type;
        // Far enough from infinity that a score may be added to it.
        _hidden = type == ScalarType.Float16 ? -3e4f : -1e30f;
        IReadOnlyList<long> lengths = documentLengths ?? batch.DocumentLengths;
        _documentStarts = new int[lengths.Sum()];
        int at = 0;
        foreach (long length in lengths)
        {
            Array.Fill(_documentStarts, at, at, (int)length);
            at += (int)length;
        }

        (Tensor cos, Tensor sin) = rotary.For(batch.Positions, type);
        // [tokens, 1, head size]: one table for all heads.
        Cos = cos.unsqueeze(1).DetachFromDisposeScope();
        Sin = sin.unsqueeze(1).DetachFromDisposeScope();
        NegativeSin = Sin.neg().DetachFromDisposeScope();
        _longest = (int)lengths.Max();
        _causal = full(TileSize, _longest + TileSize, _hidden, type, batch.Ids.device).triu(_longest + 1).DetachFromDisposeScope();
        Tiles = AttentionTile.Cut(_documentStarts, (0, at), (0, at), TileSize);
    }

    /// <summary>The tokens.</summary>
    public TokenBatch Batch { get; }

    /// <summary>Type of the activations.</summary>
    public ScalarType Type { get; }

    /// <summary>Cosines, [tokens, 1, head size].</summary>
    public Tensor Cos { get; }

    /// <summary>Sines, [tokens, 1, head size].</summary>
    public Tensor Sin { get; }

    /// <summary>Sines negated: for gradients.</summary>
    public Tensor NegativeSin { get; }

    /// <summary>Tiles of attention of all tokens to all tokens.</summary>
    public IReadOnlyList<AttentionTile> Tiles { get; }

    /// <summary>Tiles of some queries and the keys at hand, counted in the tokens of all documents.</summary>
    public IReadOnlyList<AttentionTile> TilesOf((int Start, int Count) queries, (int Start, int Count) keys) =>
        AttentionTile.Cut(_documentStarts, queries, keys, TileSize);

    /// <summary>
    /// What is added to the scores of a tile, [queries, keys]: 0, or a large negative number where a query does not see a key (not
    /// minus infinity: a query that sees no key at hand must not become NaN). Views of one mask where the tile is plain.
    /// </summary>
    public Tensor MaskOf(AttentionTile tile)
    {
        if (_masks.TryGetValue(tile, out Tensor? known))
            return known;
        using var scope = NewDisposeScope();
        Tensor mask;
        if (tile.IsPlain)
        {
            mask = _causal.narrow(0, 0, tile.QueryCount).narrow(1, _longest - (tile.KeyCount - tile.QueryCount), tile.KeyCount);
        }
        else
        {
            float[] values = new float[tile.QueryCount * tile.KeyCount];
            for (int i = 0, to = 0; i < tile.QueryCount; i++)
            {
                int query = tile.QueryStart + i, first = _documentStarts[query];
                for (int key = tile.KeyStart; key < tile.KeyStart + tile.KeyCount; key++)
                    values[to++] = key >= first && key <= query ? 0 : _hidden;
            }

            mask = tensor(values, [tile.QueryCount, tile.KeyCount], Type, _causal.device);
        }

        return _masks[tile] = mask.DetachFromDisposeScope();
    }

    /// <inheritdoc />
    public void Dispose()
    {
        foreach (Tensor mask in _masks.Values)
            mask.Dispose();
        Cos.Dispose();
        Sin.Dispose();
        NegativeSin.Dispose();
        _causal.Dispose();
    }
}
