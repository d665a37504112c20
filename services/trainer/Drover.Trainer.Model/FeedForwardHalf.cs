using Drover.Formats.Adapters;
using Drover.Formats.HuggingFace;
using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>
/// The second half of a decoder layer: x + down(silu(gate(n)) * up(n)) with n = norm(x) (SwiGLU: Shazeer, 2020). Forward and
/// backward are written out, as in <see cref="AttentionHalf"/>.
/// </summary>
internal sealed class FeedForwardHalf(LlamaConfig config, BlockWeights weights, int index, IHalfBlockBorders borders, LoraSpec? lora)
{
    private readonly string _norm = LlamaTensors.OfLayer(index, "post_attention_layernorm.weight");
    private readonly string _gate = LlamaTensors.OfLayer(index, "mlp.gate_proj.");
    private readonly string _up = LlamaTensors.OfLayer(index, "mlp.up_proj.");
    private readonly string _down = LlamaTensors.OfLayer(index, "mlp.down_proj.");
    private readonly LowRank? _inAdapters = LowRank.Of(weights, lora, [LlamaTensors.OfLayer(index, "mlp.gate_proj"), LlamaTensors.OfLayer(index, "mlp.up_proj")], null);
    private readonly LowRank? _outAdapters = LowRank.Of(weights, lora, [LlamaTensors.OfLayer(index, "mlp.down_proj")], borders);

    /// <summary>[tokens, hidden] to the same; what is kept for the backward pass is the caller's to dispose.</summary>
    public (Tensor Output, Kept? Kept) Forward(Tensor x, BatchContext batch, bool keep)
    {
        using var scope = NewDisposeScope();
        (Tensor normed, Tensor rstd) = RmsNorm.Forward(x, weights[_norm], config.RmsNormEps);
        Tensor entered = borders.Enter(normed);
        Tensor gateUp = nn.functional.linear(entered, weights.Stacked(_gate + "weight", _up + "weight"), config.HasMlpBias ? weights.Stacked(_gate + "bias", _up + "bias") : null);
        LowRank.Kept? inAdapters = _inAdapters?.Forward(entered, gateUp, batch);
        Tensor gated = SwiGlu.Forward(gateUp);
        Tensor down = gated.matmul(weights[_down + "weight"].t());
        LowRank.Kept? outAdapters = _outAdapters?.Forward(gated, down, batch);
        Tensor left = borders.Leave(down);
        if (config.HasMlpBias)
            left = left.add(weights[_down + "bias"], HeldScalars.One);
        Tensor output = left.add(x, HeldScalars.One).MoveToOuterDisposeScope();
        return (output, keep ? new Kept(rstd, entered, gateUp, inAdapters, outAdapters) : null);
    }

    /// <summary>Gradient of the input; those of the weights are added to <paramref name="flat"/>.</summary>
    public Tensor Backward(Tensor gradient, Tensor x, Kept kept, BatchContext batch, Tensor flat)
    {
        using var scope = NewDisposeScope();
        Tensor dy = borders.LeaveGradient(gradient);
        if (config.HasMlpBias)
            Gradients.AddRows(weights.GradientOf(flat, _down + "bias", _down + "bias"), gradient);
        Tensor dgateUp = BackToGates(dy, kept, batch, flat);
        Gradients.AddProduct(weights.GradientOf(flat, _gate + "weight", _up + "weight"), dgateUp, kept.Entered);
        if (config.HasMlpBias)
            Gradients.AddRows(weights.GradientOf(flat, _gate + "bias", _up + "bias"), dgateUp);
        Tensor dentered = (_inAdapters?.OfProducts(dgateUp, kept.InAdapters!, batch) ?? dgateUp).matmul(weights.Stacked(_gate + "weight", _up + "weight"));
        _inAdapters?.Backward(dgateUp, kept.Entered, kept.InAdapters!, batch, dentered, flat);
        Tensor dnormed = borders.EnterGradient(dentered);
        (Tensor dx, Tensor dw) = RmsNorm.Backward(dnormed, x, kept.Rstd, weights[_norm], gradient);
        weights.GradientOf(flat, _norm, _norm)?.add_(dw, HeldScalars.One);
        return dx.MoveToOuterDisposeScope();
    }

    private Tensor BackToGates(Tensor dy, Kept kept, BatchContext batch, Tensor flat)
    {
        Tensor? down = weights.GradientOf(flat, _down + "weight", _down + "weight");
        Tensor dgated = (_outAdapters?.OfProducts(dy, kept.OutAdapters!, batch) ?? dy).matmul(weights[_down + "weight"]);
        if (_outAdapters is null && down is null)
            return SwiGlu.Backward(dgated, kept.GateUp);
        if (_outAdapters is null)
        {
            (Tensor gradient, Tensor gated) = SwiGlu.BackwardAndForward(dgated, kept.GateUp);
            Gradients.AddProduct(down, dy, gated);
            return gradient;
        }

        // Adapters add to the gradient from what went into them.
        Tensor again = SwiGlu.Forward(kept.GateUp);
        Gradients.AddProduct(down, dy, again);
        _outAdapters.Backward(dy, again, kept.OutAdapters!, batch, dgated, flat);
        return SwiGlu.Backward(dgated, kept.GateUp);
    }

    /// <summary>What the backward pass needs.</summary>
    internal sealed class Kept : IDisposable
    {
        private readonly Tensor[] _all;

        public Kept(Tensor rstd, Tensor entered, Tensor gateUp, LowRank.Kept? inAdapters, LowRank.Kept? outAdapters)
        {
            (Rstd, Entered, GateUp, InAdapters, OutAdapters) = (rstd, entered, gateUp, inAdapters, outAdapters);
            _all = [rstd, entered, gateUp, .. inAdapters?.Tensors ?? [], .. outAdapters?.Tensors ?? []];
            foreach (Tensor tensor in _all)
                tensor.DetachFromDisposeScope();
        }

        public long Bytes => _all.Sum(LayerKept.BytesOf);

        public Tensor Rstd { get; }

        public Tensor Entered { get; }

        public Tensor GateUp { get; }

        /// <summary>Of gate and up.</summary>
        public LowRank.Kept? InAdapters { get; }

        /// <summary>Of down.</summary>
        public LowRank.Kept? OutAdapters { get; }

        public void Dispose()
        {
            foreach (Tensor tensor in _all)
                tensor.Dispose();
        }
    }
}
