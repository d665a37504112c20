using Drover.Formats.HuggingFace;
using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>
/// One decoder layer of a LLaMA (Touvron et al., 2023): grouped-query attention and a SwiGLU, each behind an RMSNorm, each
/// added to the residual stream. Knows no ranks and keeps no activations.
/// </summary>
public sealed class DecoderLayer(LlamaConfig config, BlockWeights weights, string prefix)
{
    private readonly int _headSize = config.HeadSize;

    /// <summary>Runs the layer.</summary>
    /// <param name="x">Residual stream, [tokens, hidden].</param>
    /// <param name="batch">Where documents begin and end.</param>
    /// <param name="cos">[tokens, head size].</param>
    /// <param name="sin">[tokens, head size].</param>
    /// <returns>[tokens, hidden], in the caller's dispose scope.</returns>
    public Tensor Forward(Tensor x, TokenBatch batch, Tensor cos, Tensor sin)
    {
        using var scope = NewDisposeScope();
        Tensor normed = AtenScripts.RmsNorm(x, weights[prefix + "input_layernorm.weight"], config.RmsNormEps);
        Tensor attended = x + Attend(normed, batch, cos, sin);
        Tensor inner = AtenScripts.RmsNorm(attended, weights[prefix + "post_attention_layernorm.weight"], config.RmsNormEps);
        Tensor gated = nn.functional.silu(Project(inner, "mlp.gate_proj")) * Project(inner, "mlp.up_proj");
        return (attended + Project(gated, "mlp.down_proj")).MoveToOuterDisposeScope();
    }

    private Tensor Attend(Tensor x, TokenBatch batch, Tensor cos, Tensor sin)
    {
        // [heads, tokens, size]: documents are then ranges of the middle dim.
        Tensor q = AtenScripts.Rotate(Heads(Project(x, "self_attn.q_proj")), cos, sin);
        Tensor k = AtenScripts.Rotate(Heads(Project(x, "self_attn.k_proj")), cos, sin);
        Tensor v = Heads(Project(x, "self_attn.v_proj"));
        long first = batch.DocumentLengths[0];
        Tensor mixed = batch.DocumentLengths.All(l => l == first)
            ? AttendToEqual(q, k, v, first)
            : AttendToEach(q, k, v, batch.DocumentLengths);
        return Project(mixed, "self_attn.o_proj");
    }

    // Documents of one length are a batch: [documents, heads, length, size].
    private Tensor AttendToEqual(Tensor q, Tensor k, Tensor v, long length)
    {
        Tensor Batched(Tensor t) => t.view(t.shape[0], -1, length, _headSize).transpose(0, 1);
        return AtenScripts.CausalAttention(Batched(q), Batched(k), Batched(v)).transpose(1, 2).reshape(q.shape[1], -1);
    }

    private static Tensor AttendToEach(Tensor q, Tensor k, Tensor v, IReadOnlyList<long> lengths)
    {
        var parts = new List<Tensor>(lengths.Count);
        long start = 0;
        foreach (long length in lengths)
        {
            Tensor Document(Tensor t) => t.narrow(1, start, length).unsqueeze(0);
            parts.Add(AtenScripts.CausalAttention(Document(q), Document(k), Document(v)).squeeze(0).transpose(0, 1).reshape(length, -1));
            start += length;
        }

        return cat(parts, 0);
    }

    private Tensor Heads(Tensor x) => x.view(x.shape[0], -1, _headSize).transpose(0, 1).contiguous();

    private Tensor Project(Tensor x, string name) =>
        nn.functional.linear(x, weights[$"{prefix}{name}.weight"], weights.Find($"{prefix}{name}.bias"));
}
