namespace Drover.Formats.HuggingFace;

/// <summary>The weights of a LLaMA or another <see cref="ModelFamily"/>: Hugging Face names and shapes, in the order of the blocks.</summary>
public static class LlamaTensors
{
    /// <summary>Input embedding, [vocab, hidden].</summary>
    public const string Embedding = "model.embed_tokens.weight";

    /// <summary>Last norm, [hidden].</summary>
    public const string FinalNorm = "model.norm.weight";

    /// <summary>Output head, [vocab, hidden]; absent when tied.</summary>
    public const string Head = "lm_head.weight";

    /// <summary>Norms of each head of q and of k, names relative to a layer, [head size]; Qwen3 has them.</summary>
    public static IReadOnlyList<string> HeadNorms { get; } = ["self_attn.q_norm.weight", "self_attn.k_norm.weight"];

    /// <summary>Every weight of the model with its shape; the head is listed only when it is not tied.</summary>
    public static IEnumerable<(string Name, long[] Shape)> All(LlamaConfig config)
    {
        yield return (Embedding, [config.VocabSize, config.HiddenSize]);
        for (int layer = 0; layer < config.NumHiddenLayers; layer++)
        {
            foreach ((string name, long[] shape) in Layer(config))
                yield return (OfLayer(layer, name), shape);
        }

        yield return (FinalNorm, [config.HiddenSize]);
        if (!config.TieWordEmbeddings)
            yield return (Head, [config.VocabSize, config.HiddenSize]);
    }

    /// <summary>A name relative to a decoder layer as a name of the model.</summary>
    public static string OfLayer(int layer, string name) => $"model.layers.{layer}.{name}";

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
            ("self_attn.q_proj", queries, hidden, config.HasQueryKeyValueBias),
            ("self_attn.k_proj", keys, hidden, config.HasQueryKeyValueBias),
            ("self_attn.v_proj", keys, hidden, config.HasQueryKeyValueBias),
            ("self_attn.o_proj", hidden, queries, config.HasOutputBias),
        })
        {
            yield return ($"{name}.weight", [rows, columns]);
            if (bias)
                yield return ($"{name}.bias", [rows]);
        }

        if (config.Family.HasHeadNorms)
        {
            yield return (HeadNorms[0], [config.HeadSize]);
            yield return (HeadNorms[1], [config.HeadSize]);
        }

        yield return ("post_attention_layernorm.weight", [hidden]);
        foreach ((string name, long rows, long columns) in new[] { ("mlp.gate_proj", inner, hidden), ("mlp.up_proj", inner, hidden), ("mlp.down_proj", hidden, inner) })
        {
            yield return ($"{name}.weight", [rows, columns]);
            if (config.HasMlpBias)
                yield return ($"{name}.bias", [rows]);
        }
    }
}
