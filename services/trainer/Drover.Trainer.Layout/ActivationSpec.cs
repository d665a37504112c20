using Drover.Formats.HuggingFace;

namespace Drover.Trainer.Layout;

/// <summary>What of a decoder layer is run forward again in the backward pass, for not having been kept.</summary>
public enum RecomputeMode
{
    /// <summary>Nothing.</summary>
    None = 1,

    /// <summary>All of every layer: its input alone is kept.</summary>
    Full = 2,

    /// <summary>All of the first layers of the model, nothing of the others.</summary>
    Blocks = 3,

    /// <summary>The attention half of every layer.</summary>
    Attention = 4,

    /// <summary>The feed-forward half of every layer.</summary>
    FeedForward = 5,
}

/// <summary>The halves of a decoder layer.</summary>
[Flags]
public enum LayerParts
{
    /// <summary>Neither.</summary>
    None = 0,

    /// <summary>The attention half.</summary>
    Attention = 1,

    /// <summary>The feed-forward half.</summary>
    FeedForward = 2,

    /// <summary>Both.</summary>
    All = Attention | FeedForward,
}

/// <summary>What is kept between forward and backward, and where. Changes no number.</summary>
public sealed record ActivationSpec
{
    /// <summary>Only inputs of layers are kept.</summary>
    public static ActivationSpec Recomputed { get; } = new() { Mode = RecomputeMode.Full };

    /// <summary>What is run again.</summary>
    public RecomputeMode Mode { get; init; } = RecomputeMode.None;

    /// <summary>Of <see cref="RecomputeMode.Blocks"/>: how many of the model's first layers.</summary>
    public int Blocks { get; init; }

    /// <summary>Inputs of layers wait in host memory for their backward pass. Nothing else does: with <see cref="RecomputeMode.Full"/> that is all that is kept.</summary>
    public bool Offload { get; init; }

    /// <summary>What the forward pass of a layer keeps beside its input.</summary>
    /// <param name="layer">Counted from the model's first.</param>
    public LayerParts KeptBy(int layer) => Mode switch
    {
        RecomputeMode.Full => LayerParts.None,
        RecomputeMode.Blocks => layer < Blocks ? LayerParts.None : LayerParts.All,
        RecomputeMode.Attention => LayerParts.FeedForward,
        RecomputeMode.FeedForward => LayerParts.Attention,
        _ => LayerParts.All,
    };

    /// <summary>What of it cannot be.</summary>
    public IEnumerable<string> Problems(LlamaConfig config)
    {
        if (!Enum.IsDefined(Mode))
            yield return $"activations.recompute {Mode} is unknown";
        if (Mode == RecomputeMode.Blocks && (Blocks < 1 || Blocks > config.NumHiddenLayers))
            yield return $"activations.recompute_blocks is {Blocks}; the model has {config.NumHiddenLayers} layers: give 1 to {config.NumHiddenLayers}";
        if (Mode != RecomputeMode.Blocks && Blocks != 0)
            yield return $"activations.recompute_blocks is {Blocks}, which belongs to recompute BLOCKS";
    }
}
