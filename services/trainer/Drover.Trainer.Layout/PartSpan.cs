using Drover.Formats.HuggingFace;

namespace Drover.Trainer.Layout;

/// <summary>Which blocks of a LLaMA a part holds.</summary>
/// <param name="HasEmbedding">The first block.</param>
/// <param name="FirstLayer">The first of its decoder layers.</param>
/// <param name="LayerCount">How many.</param>
/// <param name="HasHead">The last block.</param>
public sealed record PartSpan(bool HasEmbedding, int FirstLayer, int LayerCount, bool HasHead)
{
    /// <summary>All of a model.</summary>
    public static PartSpan Whole(LlamaConfig config) => new(true, 0, config.NumHiddenLayers, true);
}
