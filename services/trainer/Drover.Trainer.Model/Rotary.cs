using Drover.Trainer.Model.Kernels;
using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>
/// Rotary embedding (Su et al., 2021), halves rotated as in Hugging Face, on the way from tokens, as the projections make them, to heads, as attention
/// takes them, and back.
/// </summary>
internal static class Rotary
{
    /// <summary>[heads, tokens, size], contiguous, from [tokens, heads, size].</summary>
    public static Tensor ToHeads(Tensor tokens, BatchContext batch) => RotaryKernel.Takes(tokens)
        ? RotaryKernel.ToHeads(tokens, batch.Cos, batch.Sin)
        : AtenScripts.Rotate(tokens, batch.Cos, batch.Sin).transpose(0, 1).contiguous();

    /// <summary>The same without turning: of values.</summary>
    public static Tensor ToHeadsAsTheyAre(Tensor tokens) => RotaryKernel.Takes(tokens) ? RotaryKernel.ToHeads(tokens, null, null) : tokens.transpose(0, 1).contiguous();

    /// <summary>Gradient of <see cref="ToHeads"/>: fills [tokens, heads, size] from [heads, tokens, size], whose type may be wider.</summary>
    public static void FromHeads(Tensor heads, Tensor tokens, BatchContext batch)
    {
        if (RotaryKernel.Takes(heads) && RotaryKernel.Takes(tokens))
            RotaryKernel.FromHeads(heads, tokens, batch.Cos, batch.NegativeSin);
        else
            tokens.copy_(AtenScripts.Rotate(heads.to(tokens.dtype).transpose(0, 1), batch.Cos, batch.NegativeSin));
    }

    /// <summary>Gradient of <see cref="ToHeadsAsTheyAre"/>.</summary>
    public static void FromHeadsAsTheyAre(Tensor heads, Tensor tokens)
    {
        if (RotaryKernel.Takes(heads) && RotaryKernel.Takes(tokens))
            RotaryKernel.FromHeads(heads, tokens, null, null);
        else
            tokens.copy_(heads.transpose(0, 1));
    }
}
