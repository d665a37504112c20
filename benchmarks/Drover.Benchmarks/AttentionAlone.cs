using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Benchmarks;

/// <summary>What attention of a step costs alone, forward and backward, at its own shape.</summary>
internal sealed class AttentionAlone : IDisposable
{
    private readonly TokenBatch _batch;
    private readonly BatchContext _context;
    private readonly Tensor[] _tensors;
    private readonly TimedAlone _timed = new();

    /// <summary>That of the batch of a benchmark.</summary>
    public AttentionAlone(StepArguments arguments, Precision precision)
    {
        var rows = new RandomRows(arguments.Config.VocabSize, arguments.Length, arguments.MixedDocuments);
        ScalarType type = LlamaPart.TypeOf(precision);
        _batch = TokenBatch.From([.. Enumerable.Range(0, arguments.Rows).Select(i => rows.Read(i))]);
        _context = new BatchContext(_batch, new RotaryTables(arguments.Config), type);
        var attention = new TiledAttention();
        long tokens = _batch.Ids.shape[0], size = arguments.Config.HeadSize;
        Tensor Random(long heads) => randn([heads, tokens, size], type);
        Tensor q = Random(arguments.Config.NumAttentionHeads), k = Random(arguments.Config.KeyValueHeads), v = Random(arguments.Config.KeyValueHeads), gradient = randn_like(q);
        _tensors = [q, k, v, gradient];
        VisibleKeys visible = _context.VisibleWithin(null);
        _timed.Add(arguments.Config.NumHiddenLayers, () =>
        {
            (Tensor output, IDisposable? kept) = attention.Forward(q, k, v, visible);
            attention.Backward(gradient, q, k, v, output, kept, visible);
            kept?.Dispose();
        });
    }

    /// <summary>Seconds of all layers, from the median of what was timed.</summary>
    public double SecondsOfStep => _timed.SecondsOfStep;

    /// <summary>Times it once.</summary>
    public void Time() => _timed.Time();

    /// <inheritdoc />
    public void Dispose()
    {
        Array.ForEach(_tensors, t => t.Dispose());
        _context.Dispose();
        _batch.Dispose();
    }
}
