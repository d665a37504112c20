using System.Text.Json.Nodes;

namespace Drover.Formats.HuggingFace;

/// <summary>
/// A kind of model that is made of LLaMA's blocks: what its class in transformers does whatever the config says, and what it
/// assumes of keys that a config does not name.
/// </summary>
public sealed record ModelFamily
{
    /// <summary>Value of <c>model_type</c>.</summary>
    public required string ModelType { get; init; }

    /// <summary>Its class, in <c>architectures</c>.</summary>
    public required string Architecture { get; init; }

    /// <summary>Biases on q, k and v alone, always (Qwen2).</summary>
    public bool AlwaysQueryKeyValueBias { get; init; }

    /// <summary>Knows <c>attention_bias</c>: biases on q, k, v and o.</summary>
    public bool KnowsAttentionBias { get; init; }

    /// <summary>Knows <c>mlp_bias</c>.</summary>
    public bool KnowsMlpBias { get; init; }

    /// <summary>RMSNorm over each head of q and k before they are rotated (Qwen3).</summary>
    public bool HasHeadNorms { get; init; }

    /// <summary>Which layers see a window of keys only.</summary>
    public SlidingLayers Sliding { get; init; }

    /// <summary>JSON of the keys that a config need not name and whose default is not LLaMA's.</summary>
    public string Defaults { get; init; } = "{}";

    /// <summary>All that there are.</summary>
    public static IReadOnlyList<ModelFamily> All { get; } =
    [
        new() { ModelType = "llama", Architecture = "LlamaForCausalLM", KnowsAttentionBias = true, KnowsMlpBias = true },
        new()
        {
            ModelType = "mistral",
            Architecture = "MistralForCausalLM",
            Sliding = SlidingLayers.All,
            Defaults = """{"num_key_value_heads":8,"max_position_embeddings":131072,"sliding_window":4096}""",
        },
        new()
        {
            ModelType = "qwen2",
            Architecture = "Qwen2ForCausalLM",
            AlwaysQueryKeyValueBias = true,
            Sliding = SlidingLayers.ByConfig,
            Defaults = """{"num_key_value_heads":32,"max_position_embeddings":32768,"sliding_window":4096,"max_window_layers":28}""",
        },
        new()
        {
            ModelType = "qwen3",
            Architecture = "Qwen3ForCausalLM",
            KnowsAttentionBias = true,
            HasHeadNorms = true,
            Sliding = SlidingLayers.ByConfig,
            Defaults = """{"num_key_value_heads":32,"head_dim":128,"max_position_embeddings":32768,"sliding_window":4096,"max_window_layers":28}""",
        },
    ];

    /// <summary>The family of a <c>model_type</c>; null for one that is not supported.</summary>
    public static ModelFamily? Find(string? modelType) => All.FirstOrDefault(f => f.ModelType == modelType);

    /// <summary>Adds the keys that a config does not name. A key whose value is null is named.</summary>
    internal void FillIn(JsonObject config)
    {
        foreach ((string key, JsonNode? value) in JsonNode.Parse(Defaults)!.AsObject())
        {
            if (!config.ContainsKey(key))
                config[key] = value?.DeepClone();
        }
    }
}

/// <summary>Which layers attend within <c>sliding_window</c>.</summary>
public enum SlidingLayers
{
    /// <summary>None, whatever the config says.</summary>
    None = 0,

    /// <summary>All, where the config has a window.</summary>
    All = 1,

    /// <summary>With <c>use_sliding_window</c>, those of <c>layer_types</c>, or those from <c>max_window_layers</c> on.</summary>
    ByConfig = 2,
}
