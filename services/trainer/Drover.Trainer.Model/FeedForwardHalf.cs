using Drover.Formats.HuggingFace;
using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>
/// The second half of a decoder layer: x + down(silu(gate(n)) * up(n)) with n = norm(x) (SwiGLU: Shazeer, 2020). Forward and
/// backward are written out, as in <see cref="AttentionHalf"/>.
/// </summary>
internal sealed class FeedForwardHalf(LlamaConfig config, BlockWeights weights, int index, IHalfBlockBorders borders)
{
    private readonly string _norm = LlamaTensors.OfLayer(index, "post_attention_layernorm.weight");
    private readonly string _gate = LlamaTensors.OfLayer(index, "mlp.gate_proj.");
    private readonly string _up = LlamaTensors.OfLayer(index, "mlp.up_proj.");
    private readonly string _down = LlamaTensors.OfLayer(index, "mlp.down_proj.");

    /// <summary>[tokens, hidden] to the same; what is kept for the backward pass is the caller's to dispose.</summary>
    public (Tensor Output, Kept? Kept) Forward(Tensor x, bool keep)
    {
        using var scope = NewDisposeScope();
        (Tensor normed, Tensor rstd) = AtenScripts.RmsNorm(x, weights[_norm], config.RmsNormEps);
        Tensor entered = borders.Enter(normed);
        Tensor gateUp = nn.functional.linear(entered, weights.Stacked(_gate + "weight", _up + "weight"), config.HasMlpBias ? weights.Stacked(_gate + "bias", _up + "bias") : null);
        Tensor gated = AtenScripts.SwiGlu(gateUp);
        Tensor left = borders.Leave(gated.matmul(weights[_down + "weight"].t()));
        if (config.HasMlpBias)
            left = left.add(weights[_down + "bias"]);
        Tensor output = left.add(x).MoveToOuterDisposeScope();
        return (output, keep ? new Kept(rstd, entered, gateUp) : null);
    }

    /// <summary>Gradient of the input; those of the weights are added to <paramref name="flat"/>.</summary>
    public Tensor Backward(Tensor gradient, Tensor x, Kept kept, Tensor flat)
    {
        using var scope = NewDisposeScope();
        Tensor dy = borders.LeaveGradient(gradient);
        if (config.HasMlpBias)
            Gradients.AddRows(weights.GradientOf(flat, _down + "bias", _down + "bias"), gradient);
        if (weights.GradientOf(flat, _down + "weight", _down + "weight") is { } down)
            Gradients.AddProduct(down, dy, AtenScripts.SwiGlu(kept.GateUp));
        Tensor dgateUp = AtenScripts.SwiGluBackward(dy.matmul(weights[_down + "weight"]), kept.GateUp);
        Gradients.AddProduct(weights.GradientOf(flat, _gate + "weight", _up + "weight"), dgateUp, kept.Entered);
        if (config.HasMlpBias)
            Gradients.AddRows(weights.GradientOf(flat, _gate + "bias", _up + "bias"), dgateUp);
        Tensor dnormed = borders.EnterGradient(dgateUp.matmul(weights.Stacked(_gate + "weight", _up + "weight")));
        (Tensor dx, Tensor dw) = AtenScripts.RmsNormBackward(dnormed, x, kept.Rstd, weights[_norm]);
        weights.GradientOf(flat, _norm, _norm)?.add_(dw);
        return dx.add_(gradient).MoveToOuterDisposeScope();
    }

    /// <summary>What the backward pass needs.</summary>
    internal sealed class Kept : IDisposable
    {
        public Kept(Tensor rstd, Tensor entered, Tensor gateUp) =>
            (Rstd, Entered, GateUp) = (rstd.DetachFromDisposeScope(), entered.DetachFromDisposeScope(), gateUp.DetachFromDisposeScope());

        public long Bytes => LayerKept.BytesOf(Rstd) + LayerKept.BytesOf(Entered) + LayerKept.BytesOf(GateUp);

        public Tensor Rstd { get; }

        public Tensor Entered { get; }

        public Tensor GateUp { get; }

        public void Dispose()
        {
            Rstd.Dispose();
            Entered.Dispose();
            GateUp.Dispose();
        }
    }
}
