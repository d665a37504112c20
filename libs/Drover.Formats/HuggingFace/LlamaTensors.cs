namespace Drover.Formats.HuggingFace;

/// <summary>The weights of a LLaMA: Hugging Face names and shapes, in the order of the blocks.</summary>
public static class LlamaTensors
{
    /// <summary>Input embedding, [vocab, hidden].</summary>
    public const string Embedding = "model.embed_tokens.weight";

    /// <summary>Last norm, [hidden].</summary>
    public const string FinalNorm = "model.norm.weight";

    /// <summary>Output head, [vocab, hidden]; absent when tied.</summary>
    public const string Head = "lm_head.weight";

    /// <summary>Every weight of the model with its shape; the head is listed only when it is not tied.</summary>
    public static IEnumerable<(string Name, long[] Shape)> All(LlamaConfig config)
    {
        yield return (Embedding, [config.VocabSize, config.HiddenSize]);
        for (int layer = 0; layer < config.NumHiddenLayers; layer++)
        {
            foreach ((string name, long[] shape) in Layer(config))
                yield return ($"model.layers.{layer}.{name}", shape);
        }

        yield return (FinalNorm, [config.HiddenSize]);
        if (!config.TieWordEmbeddings)
            yield return (Head, [config.VocabSize, config.HiddenSize]);
    }

    /// <summary>The weights of one decoder layer, names relative to it; projections are [out, in].</summary>
    public static IEnumerable<(string Name, long[] Shape)> Layer(LlamaConfig config)
    {
        long hidden = config.HiddenSize;
        long queries = (long)config.NumAttentionHeads * config.HeadSize;
        long keys = (long)config.KeyValueHeads * config.HeadSize;
        long inner = config.IntermediateSize;
        yield return ("input_layernorm.weight", [hidden]);
        foreach ((string name, long rows, long columns, bool bias) in new[]
        {
            ("self_attn.q_proj", queries, hidden, config.AttentionBias),
            ("self_attn.k_proj", keys, hidden, config.AttentionBias),
            ("self_attn.v_proj", keys, hidden, config.AttentionBias),
            ("self_attn.o_proj", hidden, queries, config.AttentionBias),
        })
        {
            yield return ($"{name}.weight", [rows, columns]);
            if (bias)
                yield return ($"{name}.bias", [rows]);
        }

        yield return ("post_attention_layernorm.weight", [hidden]);
        foreach ((string name, long rows, long columns) in new[] { ("mlp.gate_proj", inner, hidden), ("mlp.up_proj", inner, hidden), ("mlp.down_proj", hidden, inner) })
        {
            yield return ($"{name}.weight", [rows, columns]);
            if (config.MlpBias)
                yield return ($"{name}.bias", [rows]);
        }
    }
}
