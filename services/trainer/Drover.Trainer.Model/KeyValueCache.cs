using Drover.Formats.HuggingFace;
using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>
/// Keys and values of the tokens that several documents have so far, for all layers: allocated once, for the longest that any of them may
/// become. A layer with a window keeps the window's tokens only, each where its position modulo the window says.
/// </summary>
/// <remarks>
/// Keys are kept as they were turned first. Where frequencies follow the document's length (<see cref="RopeType.Dynamic"/>) beyond
/// max_position_embeddings, a document read whole would turn all of them anew: a cache gives something a little different, as in transformers.
/// </remarks>
public sealed class KeyValueCache : IDisposable
{
    // The library prepares and caches a kernel for each shape that it meets: numbers of keys come in few.
    private const int Alignment = 64;
    private readonly ScalarType _type;
    private readonly Device _device;
    private readonly float _hidden;
    private readonly List<Layer> _layers;
    private readonly Dictionary<int, Reach> _reaches = [];
    private int[] _lengths;
    private Layer? _current;
    private TokenBatch? _batch;

    /// <summary>Allocates; all documents are empty.</summary>
    /// <param name="config">The model.</param>
    /// <param name="type">Of the activations.</param>
    /// <param name="documents">How many.</param>
    /// <param name="capacity">Tokens that each may come to.</param>
    /// <param name="device">Where the model computes; null for the CPU.</param>
    public KeyValueCache(LlamaConfig config, ScalarType type, int documents, int capacity, Device? device = null)
    {
        (_type, _device) = (type, device ?? CPU);
        _hidden = type == ScalarType.Float16 ? -3e4f : -1e30f;
        _lengths = new int[documents];
        _layers = [.. Enumerable.Range(0, config.NumHiddenLayers).Select(i =>
        {
            int slots = Math.Min(config.WindowOf(i) ?? int.MaxValue, (capacity + Alignment - 1) / Alignment * Alignment);
            long[] shape = [documents, config.KeyValueHeads, slots, config.HeadSize];
            return new Layer(slots, zeros(shape, type, _device).DetachFromDisposeScope(), zeros(shape, type, _device).DetachFromDisposeScope());
        })];
    }

    /// <summary>Tokens of each document.</summary>
    public IReadOnlyList<int> Lengths => _lengths;

    /// <summary>Bytes of all keys and values.</summary>
    public long Bytes => _layers.Sum(l => l.Keys.numel() * l.Keys.element_size() * 2);

    /// <summary>A pass over tokens begins: whole documents while the cache is empty, else the next token of each.</summary>
    internal void Begin(TokenBatch batch) => _batch = batch;

    /// <summary>The pass comes to a layer.</summary>
    internal void EnterLayer(int index) => _current = _layers[index];

    /// <summary>The pass is over: the documents are longer.</summary>
    internal void End()
    {
        bool isFirst = IsEmpty;
        for (int i = 0; i < _lengths.Length; i++)
            _lengths[i] += isFirst ? (int)_batch!.DocumentLengths[i] : 1;
        _batch = null;
        Forget();
    }

    internal bool IsEmpty => _lengths[0] == 0;

    /// <summary>Only some of the documents go on.</summary>
    /// <param name="documents">Their places so far, rising.</param>
    public void Keep(IReadOnlyList<int> documents)
    {
        using var scope = NewDisposeScope();
        Tensor rows = tensor(documents.Select(d => (long)d).ToArray(), device: _device);
        foreach (Layer layer in _layers)
        {
            (Tensor keys, Tensor values) = (layer.Keys.index_select(0, rows), layer.Values.index_select(0, rows));
            layer.Dispose();
            (layer.Keys, layer.Values) = (keys.DetachFromDisposeScope(), values.DetachFromDisposeScope());
        }

        _lengths = [.. documents.Select(d => _lengths[d])];
    }

    /// <summary>Keeps the keys and values of whole documents, [key heads, tokens, head size], keys turned.</summary>
    internal void Fill(Tensor k, Tensor v)
    {
        using var scope = NewDisposeScope();
        Layer layer = _current!;
        int start = 0;
        for (int i = 0; i < _lengths.Length; i++)
        {
            int length = (int)_batch!.DocumentLengths[i], first = Math.Max(0, length - layer.Slots);
            // At most two stretches: up to the last slot, and from the first.
            for (int from = first; from < length;)
            {
                int slot = from % layer.Slots, count = Math.Min(length - from, layer.Slots - slot);
                layer.Keys[i].narrow(1, slot, count).copy_(k.narrow(1, start + from, count));
                layer.Values[i].narrow(1, slot, count).copy_(v.narrow(1, start + from, count));
                from += count;
            }

            start += length;
        }
    }

    /// <summary>Keeps the next key and value of each document, [key heads, documents, head size], keys turned; gives what each now sees.</summary>
    /// <returns>Keys and values, [documents * key heads, keys, head size], and what is added to scores, [documents * key heads, 1, keys]; in the caller's dispose scope.</returns>
    internal (Tensor Keys, Tensor Values, Tensor Mask) Append(Tensor k, Tensor v)
    {
        using var scope = NewDisposeScope();
        Layer layer = _current!;
        Reach reach = ReachOf(layer);
        void Put(Tensor where, Tensor what) => where.view(-1, what.shape[2]).index_copy_(0, reach.Rows, what.transpose(0, 1).reshape(-1, what.shape[2]));
        Put(layer.Keys, k);
        Put(layer.Values, v);
        Tensor keys = layer.Keys.narrow(2, 0, reach.Count), values = layer.Values.narrow(2, 0, reach.Count);
        Tensor Flat(Tensor t) => t.flatten(0, 1).MoveToOuterDisposeScope();
        return (Flat(keys), Flat(values), reach.Mask.alias().MoveToOuterDisposeScope());
    }

    /// <inheritdoc />
    public void Dispose()
    {
        Forget();
        foreach (Layer layer in _layers)
            layer.Dispose();
    }

    private void Forget()
    {
        foreach (Reach reach in _reaches.Values)
            reach.Dispose();
        _reaches.Clear();
    }

    // The same for all layers of as many slots.
    private Reach ReachOf(Layer layer)
    {
        if (_reaches.TryGetValue(layer.Slots, out Reach? known))
            return known;
        using var scope = NewDisposeScope();
        int documents = _lengths.Length, heads = (int)layer.Keys.shape[1], slots = layer.Slots;
        int count = Math.Min(slots, ((_lengths.Max() / Alignment) + 1) * Alignment);
        float[] mask = new float[documents * count];
        long[] rows = new long[documents * heads];
        for (int d = 0; d < documents; d++)
        {
            Array.Fill(mask, _hidden, (d * count) + Math.Min(count, _lengths[d] + 1), Math.Max(0, count - _lengths[d] - 1));
            for (int h = 0; h < heads; h++)
                rows[(d * heads) + h] = (((long)d * heads) + h) * slots + (_lengths[d] % slots);
        }

        Tensor visible = tensor(mask, [documents, 1, 1, count], _type, _device).expand(documents, heads, 1, count).reshape(documents * heads, 1, count);
        return _reaches[slots] = new Reach(count, tensor(rows, device: _device).DetachFromDisposeScope(), visible.DetachFromDisposeScope());
    }

    private sealed class Layer(int slots, Tensor keys, Tensor values) : IDisposable
    {
        public int Slots => slots;

        public Tensor Keys { get; set; } = keys;

        public Tensor Values { get; set; } = values;

        public void Dispose()
        {
            Keys.Dispose();
            Values.Dispose();
        }
    }

    /// <summary>What the next token of each document sees in layers of as many slots.</summary>
    /// <param name="Count">Slots that any of them sees.</param>
    /// <param name="Rows">Where the next keys go, counted in rows of all documents and heads.</param>
    /// <param name="Mask">Added to scores.</param>
    private sealed record Reach(int Count, Tensor Rows, Tensor Mask) : IDisposable
    {
        public void Dispose()
        {
            Rows.Dispose();
            Mask.Dispose();
        }
    }
}
