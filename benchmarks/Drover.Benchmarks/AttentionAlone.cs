using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Benchmarks;

/// <summary>What attention of a step costs alone, forward and backward, at its own shape.</summary>
internal static class AttentionAlone
{
    /// <summary>Seconds of all layers, from the fastest of a few repetitions.</summary>
    public static double SecondsOfStep(StepArguments arguments, Precision precision)
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        var rows = new RandomRows(arguments.Config.VocabSize, arguments.Length, arguments.MixedDocuments);
        ScalarType type = LlamaPart.TypeOf(precision);
        using TokenBatch batch = TokenBatch.From([.. Enumerable.Range(0, arguments.Rows).Select(i => rows.Read(i))]);
        using var context = new BatchContext(batch, new RotaryTables(arguments.Config), type);
        var attention = new TiledAttention();
        long tokens = batch.Ids.shape[0], size = arguments.Config.HeadSize;
        Tensor Random(long heads) => randn([heads, tokens, size], type);
        Tensor q = Random(arguments.Config.NumAttentionHeads), k = Random(arguments.Config.KeyValueHeads), v = Random(arguments.Config.KeyValueHeads), gradient = randn_like(q);
        VisibleKeys visible = context.VisibleWithin(null);
        return arguments.Config.NumHiddenLayers * MatrixProducts.Fastest(() =>
        {
            (Tensor output, IDisposable? kept) = attention.Forward(q, k, v, visible);
            attention.Backward(gradient, q, k, v, output, kept, visible);
            kept?.Dispose();
        });
    }
}
