using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>
/// Which keys each query of a micro-batch sees: those of its own document up to itself and, with a window, at most so many of
/// them. As tiles and masks for attention.
/// </summary>
public sealed class VisibleKeys : IDisposable
{
    // Measured on 512-token documents, 8 heads of 64, bf16: benchmarks/results.
    private const int TileSize = 256;
    private readonly Dictionary<AttentionTile, Tensor> _masks = [];
    private readonly int[] _documentStarts;
    private readonly int _window;
    private readonly float _hidden;
    private readonly ScalarType _type;
    private readonly Device _device;
    private readonly int _reach;
    private Tensor? _plain;
    private Tensor? _borders;

    /// <summary>Prepares tiles.</summary>
    /// <param name="documentStarts">For each token of all documents, where its document starts.</param>
    /// <param name="longest">Tokens of the longest document.</param>
    /// <param name="window">Keys that a query sees at most, itself counted; null for all.</param>
    /// <param name="type">Of the activations.</param>
    /// <param name="device">Where masks are to lie.</param>
    internal VisibleKeys(int[] documentStarts, int longest, int? window, ScalarType type, Device device)
    {
        (_documentStarts, _window, _type, _device) = (documentStarts, window ?? int.MaxValue, type, device);
        (Longest, Window) = (longest, window);
        // Far enough from infinity that a score may be added to it.
        _hidden = type == ScalarType.Float16 ? -3e4f : -1e30f;
        // Keys of a tile before its first query, at most: a tile begins a little before the window to have one of few lengths.
        _reach = (int)Math.Min(longest, (long)_window + AttentionTile.Alignment);
        Tiles = TilesOf((0, documentStarts.Length), (0, documentStarts.Length));
    }

    /// <summary>Tokens of the longest document.</summary>
    public int Longest { get; }

    /// <summary>Keys that a query sees at most, itself counted; null for all of its document.</summary>
    public int? Window { get; }

    /// <summary>Where the documents begin in the tokens of all, and where the last ends, [documents + 1], int32, on the device.</summary>
    public Tensor DocumentBorders =>
        _borders ??= tensor((int[])[.. _documentStarts.Distinct(), _documentStarts.Length], device: _device).DetachFromDisposeScope();

    /// <summary>Tiles of attention of all tokens to all tokens.</summary>
    public IReadOnlyList<AttentionTile> Tiles { get; }

    /// <summary>Tiles of some queries and the keys at hand, counted in the tokens of all documents.</summary>
    public IReadOnlyList<AttentionTile> TilesOf((int Start, int Count) queries, (int Start, int Count) keys) =>
        AttentionTile.Cut(_documentStarts, _window, queries, keys, TileSize);

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
            mask = Plain().narrow(0, 0, tile.QueryCount).narrow(1, _reach - (tile.KeyCount - tile.QueryCount), tile.KeyCount);
        }
        else
        {
            float[] values = new float[tile.QueryCount * tile.KeyCount];
            for (int i = 0, to = 0; i < tile.QueryCount; i++)
            {
                int query = tile.QueryStart + i, first = Math.Max(_documentStarts[query], query - _window + 1);
                for (int key = tile.KeyStart; key < tile.KeyStart + tile.KeyCount; key++)
                    values[to++] = key >= first && key <= query ? 0 : _hidden;
            }

            mask = tensor(values, [tile.QueryCount, tile.KeyCount], _type, _device);
        }

        return _masks[tile] = mask.DetachFromDisposeScope();
    }

    /// <inheritdoc />
    public void Dispose()
    {
        foreach (Tensor mask in _masks.Values)
            mask.Dispose();
        _plain?.Dispose();
        _borders?.Dispose();
    }

    private Tensor Plain()
    {
        if (_plain is not null)
            return _plain;
        using var scope = NewDisposeScope();
        using TorchSharp.Scalar hidden = _hidden;
        Tensor plain = full(TileSize, _reach + TileSize, hidden, _type, _device).triu(_reach + 1);
        if (_window < _reach + TileSize)
            plain.add_(full(TileSize, _reach + TileSize, hidden, _type, _device).tril(_reach - _window), HeldScalars.One);
        return _plain = plain.DetachFromDisposeScope();
    }
}
