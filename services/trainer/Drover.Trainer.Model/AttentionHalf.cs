using Drover.Formats.Adapters;
using Drover.Formats.HuggingFace;
using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>
/// The first half of a decoder layer: x + attention(norm(x)), grouped-query, with rotary embedding. Forward and backward are
/// written out, so that gradients of weights are added straight to the block's flat fp32 gradient and collectives stand at the
/// borders. Gradients follow from the chain rule alone; a test holds them against autograd.
/// </summary>
internal sealed class AttentionHalf(LlamaConfig config, BlockWeights weights, int index, IHalfBlockBorders borders, IAttention attention, LoraSpec? lora)
{
    private readonly int? _window = config.WindowOf(index);
    private readonly string _norm = LlamaTensors.OfLayer(index, "input_layernorm.weight");
    private readonly string _q = LlamaTensors.OfLayer(index, "self_attn.q_proj.");
    private readonly string _k = LlamaTensors.OfLayer(index, "self_attn.k_proj.weight");
    private readonly string _v = LlamaTensors.OfLayer(index, "self_attn.v_proj.");
    private readonly string _o = LlamaTensors.OfLayer(index, "self_attn.o_proj.");
    private readonly LowRank? _inAdapters = LowRank.Of(weights, lora, [LlamaTensors.OfLayer(index, "self_attn.q_proj"), LlamaTensors.OfLayer(index, "self_attn.k_proj"), LlamaTensors.OfLayer(index, "self_attn.v_proj")], null);
    private readonly LowRank? _outAdapters = LowRank.Of(weights, lora, [LlamaTensors.OfLayer(index, "self_attn.o_proj")], borders);
    private readonly HeadNorm[] _headNorms = config.Family.HasHeadNorms ? [.. LlamaTensors.HeadNorms.Select(n => new HeadNorm(weights, LlamaTensors.OfLayer(index, n), config.RmsNormEps))] : [];

    /// <summary>[tokens, hidden] to the same; what is kept for the backward pass is the caller's to dispose.</summary>
    public (Tensor Output, Kept? Kept) Forward(Tensor x, BatchContext batch, bool keep)
    {
        using var scope = NewDisposeScope();
        (Tensor normed, Tensor rstd) = RmsNorm.Forward(x, weights[_norm], config.RmsNormEps);
        Tensor entered = borders.Enter(normed);
        Tensor qkv = nn.functional.linear(entered, weights.Stacked(_q + "weight", _v + "weight"), config.HasQueryKeyValueBias ? weights.Stacked(_q + "bias", _v + "bias") : null);
        LowRank.Kept? inAdapters = _inAdapters?.Forward(entered, qkv, batch);
        (long queries, long keys) = HeadCounts();
        Tensor heads = qkv.view(qkv.shape[0], -1, config.HeadSize);
        (Tensor plainQ, Tensor plainK, HeadNorm.Kept[] headNorms) = Normed(heads.narrow(1, 0, queries), heads.narrow(1, queries, keys));
        Tensor q = Rotary.ToHeads(plainQ, batch);
        Tensor k = Rotary.ToHeads(plainK, batch);
        Tensor v = Rotary.ToHeadsAsTheyAre(heads.narrow(1, queries + keys, keys));
        (Tensor attended, IDisposable? more) = attention.Forward(q, k, v, batch.VisibleWithin(_window));
        Tensor mixed = TokensFirst(attended);
        Tensor projected = mixed.matmul(weights[_o + "weight"].t());
        LowRank.Kept? outAdapters = _outAdapters?.Forward(mixed, projected, batch);
        Tensor left = borders.Leave(projected);
        if (config.HasOutputBias)
            left = left.add(weights[_o + "bias"], HeldScalars.One);
        Tensor output = left.add(x, HeldScalars.One).MoveToOuterDisposeScope();
        return (output, keep ? new Kept(rstd, entered, q, k, v, attended, mixed, headNorms, more, inAdapters, outAdapters) : null);
    }

    /// <summary>Gradient of the input; those of the weights are added to <paramref name="flat"/>.</summary>
    public Tensor Backward(Tensor gradient, Tensor x, Kept kept, BatchContext batch, Tensor flat)
    {
        using var scope = NewDisposeScope();
        Tensor dy = borders.LeaveGradient(gradient);
        if (config.HasOutputBias)
            Gradients.AddRows(weights.GradientOf(flat, _o + "bias", _o + "bias"), gradient);
        Gradients.AddProduct(weights.GradientOf(flat, _o + "weight", _o + "weight"), dy, kept.Mixed);
        Tensor dprojected = (_outAdapters?.OfProducts(dy, kept.OutAdapters!, batch) ?? dy).matmul(weights[_o + "weight"]);
        _outAdapters?.Backward(dy, kept.Mixed, kept.OutAdapters!, batch, dprojected, flat);
        Tensor dmixed = Rotary.ToHeadsAsTheyAre(dprojected.view(dy.shape[0], -1, config.HeadSize));
        (Tensor dq, Tensor dk, Tensor dv) = attention.Backward(dmixed, kept.Q, kept.K, kept.V, kept.Attended, kept.More, batch.VisibleWithin(_window));
        Tensor dqkv = JoinHeads(dq, dk, dv, batch, kept.HeadNorms, flat, dy.dtype);
        Gradients.AddProduct(weights.GradientOf(flat, _q + "weight", _v + "weight"), dqkv, kept.Entered);
        if (config.HasQueryKeyValueBias)
            Gradients.AddRows(weights.GradientOf(flat, _q + "bias", _v + "bias"), dqkv);
        Tensor dentered = (_inAdapters?.OfProducts(dqkv, kept.InAdapters!, batch) ?? dqkv).matmul(weights.Stacked(_q + "weight", _v + "weight"));
        _inAdapters?.Backward(dqkv, kept.Entered, kept.InAdapters!, batch, dentered, flat);
        Tensor dnormed = borders.EnterGradient(dentered);
        (Tensor dx, Tensor dw) = RmsNorm.Backward(dnormed, x, kept.Rstd, weights[_norm], gradient);
        weights.GradientOf(flat, _norm, _norm)?.add_(dw, HeldScalars.One);
        return dx.MoveToOuterDisposeScope();
    }

    private static Tensor TokensFirst(Tensor heads)
    {
        Tensor tokens = empty([heads.shape[1], heads.shape[0], heads.shape[2]], heads.dtype, heads.device);
        Rotary.FromHeadsAsTheyAre(heads, tokens);
        return tokens.view(heads.shape[1], -1);
    }

    // As many as this rank has rows for.
    private (long Queries, long Keys) HeadCounts() =>
        (weights[_q + "weight"].shape[0] / config.HeadSize, weights[_k].shape[0] / config.HeadSize);

    private (Tensor Q, Tensor K, HeadNorm.Kept[] Kept) Normed(Tensor q, Tensor k)
    {
        if (_headNorms is not [HeadNorm ofQ, HeadNorm ofK])
            return (q, k, []);
        (Tensor normedQ, HeadNorm.Kept keptOfQ) = ofQ.Forward(q);
        (Tensor normedK, HeadNorm.Kept keptOfK) = ofK.Forward(k);
        return (normedQ, normedK, [keptOfQ, keptOfK]);
    }

    // [tokens, q heads + 2 * k heads times size], back through the rotary embedding and the norms of heads.
    private Tensor JoinHeads(Tensor dq, Tensor dk, Tensor dv, BatchContext batch, HeadNorm.Kept[] norms, Tensor flat, ScalarType type)
    {
        using var scope = NewDisposeScope();
        (long queries, long keys) = (dq.shape[0], dk.shape[0]);
        Tensor joined = empty([dq.shape[1], queries + (2 * keys), config.HeadSize], type, dq.device);
        void Back(Tensor t, long first, int norm)
        {
            Tensor own = joined.narrow(1, first, t.shape[0]);
            Rotary.FromHeads(t, own, batch);
            if (norms.Length > 0)
                own.copy_(_headNorms[norm].Backward(own, norms[norm], flat));
        }

        Back(dq, 0, 0);
        Back(dk, queries, 1);
        Rotary.FromHeadsAsTheyAre(dv, joined.narrow(1, queries + keys, keys));
        return joined.view(dq.shape[1], -1).MoveToOuterDisposeScope();
    }

    /// <summary>What the backward pass needs.</summary>
    internal sealed class Kept : IDisposable
    {
        private readonly Tensor[] _all;

        public Kept(Tensor rstd, Tensor entered, Tensor q, Tensor k, Tensor v, Tensor attended, Tensor mixed, HeadNorm.Kept[] headNorms, IDisposable? more, LowRank.Kept? inAdapters, LowRank.Kept? outAdapters)
        {
            (Rstd, Entered, Q, K, V, Attended, Mixed, HeadNorms, More) = (rstd, entered, q, k, v, attended, mixed, headNorms, more);
            (InAdapters, OutAdapters) = (inAdapters, outAdapters);
            _all = [rstd, entered, q, k, v, attended, mixed, .. headNorms.SelectMany(n => new[] { n.Rows, n.Rstd }), .. inAdapters?.Tensors ?? [], .. outAdapters?.Tensors ?? []];
            foreach (Tensor tensor in _all)
                tensor.DetachFromDisposeScope();
        }

        public long Bytes => _all.Sum(LayerKept.BytesOf);

        public Tensor Rstd { get; }

        public Tensor Entered { get; }

        public Tensor Q { get; }

        public Tensor K { get; }

        public Tensor V { get; }

        public Tensor Attended { get; }

        public Tensor Mixed { get; }

        /// <summary>Of q and of k; empty where heads are not normed.</summary>
        public HeadNorm.Kept[] HeadNorms { get; }

        public IDisposable? More { get; }

        /// <summary>Of q, k and v.</summary>
        public LowRank.Kept? InAdapters { get; }

        /// <summary>Of the projection out of the half block.</summary>
        public LowRank.Kept? OutAdapters { get; }

        public void Dispose()
        {
            foreach (Tensor tensor in _all)
                tensor.Dispose();
            More?.Dispose();
        }
    }
}
