using Drover.Formats.Adapters;
using Drover.Formats.HuggingFace;
using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>
/// One decoder layer of a LLaMA (Touvron et al., 2023) or of another family: two half blocks, each added to the residual stream. Knows no ranks: how many
/// heads and inner values it has is read off its weights, and what ranks do together stands at the half blocks' borders.
/// </summary>
public sealed class DecoderLayer(LlamaConfig config, BlockWeights weights, int index, IHalfBlockBorders borders, IAttention attention, LoraSpec? lora = null)
{
    private readonly AttentionHalf _attention = new(config, weights, index, borders, attention, lora);
    private readonly FeedForwardHalf _feedForward = new(config, weights, index, borders, lora);

    /// <summary>What it is called where people see it.</summary>
    public string Name { get; } = $"layer {index}";

    /// <summary>Its weights.</summary>
    public BlockWeights Weights => weights;

    /// <summary>Runs the layer.</summary>
    /// <param name="x">Residual stream, [tokens, hidden].</param>
    /// <param name="batch">The micro-batch.</param>
    /// <param name="keep">The halves that a backward pass will not have to run again; none where there is no backward pass, or where it runs all again.</param>
    /// <returns>[tokens, hidden] in the caller's dispose scope; what is kept is the caller's to dispose.</returns>
    public (Tensor Output, LayerKept? Kept) Forward(Tensor x, BatchContext batch, LayerParts keep)
    {
        (Tensor middle, AttentionHalf.Kept? first) = _attention.Forward(x, batch, keep.HasFlag(LayerParts.Attention));
        (Tensor output, FeedForwardHalf.Kept? second) = _feedForward.Forward(middle, batch, keep.HasFlag(LayerParts.FeedForward));
        if (keep != LayerParts.None)
            return (output, new LayerKept(middle.DetachFromDisposeScope(), first, second));
        middle.Dispose();
        return (output, null);
    }

    /// <summary>Runs the half forward again that was not kept.</summary>
    /// <param name="x">The input that the layer ran forward with.</param>
    /// <param name="kept">Of that run; whole afterwards.</param>
    /// <param name="batch">The micro-batch.</param>
    public void Complete(Tensor x, LayerKept kept, BatchContext batch)
    {
        if (kept.Attention is null)
        {
            (Tensor middle, kept.Attention) = _attention.Forward(x, batch, keep: true);
            middle.Dispose();
        }

        if (kept.FeedForward is null)
        {
            (Tensor output, kept.FeedForward) = _feedForward.Forward(kept.Middle, batch, keep: true);
            output.Dispose();
        }
    }

    /// <summary>Runs the layer backward.</summary>
    /// <param name="gradient">Of the output, [tokens, hidden].</param>
    /// <param name="x">The input that it ran forward with.</param>
    /// <param name="kept">Of that run, whole.</param>
    /// <param name="batch">The micro-batch.</param>
    /// <param name="flat">Flat fp32 gradient of the block, added to.</param>
    /// <returns>Gradient of the input, in the caller's dispose scope.</returns>
    public Tensor Backward(Tensor gradient, Tensor x, LayerKept kept, BatchContext batch, Tensor flat)
    {
        using Tensor middle = _feedForward.Backward(gradient, kept.Middle, kept.FeedForward!, batch, flat);
        return _attention.Backward(middle, x, kept.Attention!, batch, flat);
    }
}

/// <summary>What a layer keeps between forward and backward.</summary>
public sealed class LayerKept : IDisposable
{
    internal LayerKept(Tensor middle, AttentionHalf.Kept? attention, FeedForwardHalf.Kept? feedForward) =>
        (Middle, Attention, FeedForward) = (middle, attention, feedForward);

    /// <summary>Both halves are kept.</summary>
    public bool IsWhole => Attention is not null && FeedForward is not null;

    /// <summary>Memory of all of it, bytes.</summary>
    public long Bytes => BytesOf(Middle) + (Attention?.Bytes ?? 0) + (FeedForward?.Bytes ?? 0);

    internal Tensor Middle { get; }

    internal AttentionHalf.Kept? Attention { get; set; }

    internal FeedForwardHalf.Kept? FeedForward { get; set; }

    /// <inheritdoc />
    public void Dispose()
    {
        Middle.Dispose();
        Attention?.Dispose();
        FeedForward?.Dispose();
    }

    internal static long BytesOf(Tensor tensor) => tensor.numel() * tensor.element_size();
}
