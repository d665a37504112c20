using Drover.Formats.HuggingFace;

namespace Drover.Trainer.Layout;

/// <summary>What a block is.</summary>
public enum BlockKind
{
    /// <summary>The input embedding.</summary>
    Embedding = 0,

    /// <summary>A decoder layer.</summary>
    Layer = 1,

    /// <summary>A copy of a tied embedding at the other end of a pipeline.</summary>
    TiedHead = 2,

    /// <summary>Last norm and, unless it is tied, the output matrix.</summary>
    Head = 3,
}

/// <summary>A block of a part with what a rank holds of its weights.</summary>
/// <param name="Kind">What it is.</param>
/// <param name="Weights">This rank's part of each.</param>
public sealed record Block(BlockKind Kind, IReadOnlyList<LocalWeight> Weights)
{
    /// <summary>Values of the weights.</summary>
    public long Count => Weights.Sum(w => w.Count);

    /// <summary>Values that are held for compute alone.</summary>
    public long BaseCount => Weights.Where(w => w.IsBase).Sum(w => w.Count);

    /// <summary>Values that have gradients, master weights and moments.</summary>
    public long StateCount => Count - BaseCount;
}

/// <summary>Which weights make up the blocks of a part.</summary>
public static class BlockTable
{
    /// <summary>The blocks of a part on one rank of tensor parallelism, in the order of the model.</summary>
    public static IEnumerable<Block> Of(LlamaConfig config, PartSpan span, WeightTable table)
    {
        Block New(BlockKind kind, IEnumerable<(string Name, long[] Shape)> weights) => new(kind, table.Of(weights));
        (string, long[]) embedding = (LlamaTensors.Embedding, [config.VocabSize, config.HiddenSize]), norm = (LlamaTensors.FinalNorm, [config.HiddenSize]);

        if (span.HasEmbedding)
            yield return New(BlockKind.Embedding, [embedding]);
        for (int i = span.FirstLayer; i < span.FirstLayer + span.LayerCount; i++)
            yield return New(BlockKind.Layer, LlamaTensors.Layer(config).Select(w => (LlamaTensors.OfLayer(i, w.Name), w.Shape)));
        if (!span.HasHead)
            yield break;
        if (config.TieWordEmbeddings && !span.HasEmbedding)
            yield return New(BlockKind.TiedHead, [embedding]);
        yield return New(BlockKind.Head, config.TieWordEmbeddings ? [norm] : [norm, (LlamaTensors.Head, [config.VocabSize, config.HiddenSize])]);
    }
}
