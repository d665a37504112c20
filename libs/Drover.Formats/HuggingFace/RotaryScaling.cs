using System.Text.Json;

namespace Drover.Formats.HuggingFace;

/// <summary>How rotary frequencies are changed for rows longer than those that a model was first trained with.</summary>
public enum RopeType
{
    /// <summary>Not at all.</summary>
    Default = 0,

    /// <summary>Positions divided by the factor (Chen et al., 2023).</summary>
    Linear = 1,

    /// <summary>A base that grows with the row's length beyond max_position_embeddings ("NTK-aware").</summary>
    Dynamic = 2,

    /// <summary>LLaMA 3.1's: long wavelengths divided, short ones left, a ramp between.</summary>
    Llama3 = 3,

    /// <summary>YaRN (Peng et al., 2023): the ramp runs over dims, and cosines and sines are scaled.</summary>
    Yarn = 4,
}

/// <summary>The object <c>rope_scaling</c> (or <c>rope_parameters</c>) of a config, with its numbers' defaults filled in.</summary>
public sealed record RotaryScaling
{
    private static readonly Dictionary<string, RopeType> Types = new(StringComparer.Ordinal)
    {
        ["default"] = RopeType.Default,
        ["linear"] = RopeType.Linear,
        ["dynamic"] = RopeType.Dynamic,
        ["llama3"] = RopeType.Llama3,
        ["yarn"] = RopeType.Yarn,
    };

    private static readonly Dictionary<RopeType, string[]> Required = new()
    {
        [RopeType.Default] = [],
        [RopeType.Linear] = ["factor"],
        [RopeType.Dynamic] = ["factor"],
        [RopeType.Llama3] = ["factor", "low_freq_factor", "high_freq_factor"],
        [RopeType.Yarn] = ["factor"],
    };

    /// <summary>The rule.</summary>
    public RopeType Type { get; private init; }

    /// <summary>How much longer rows become.</summary>
    public double Factor { get; private init; } = 1;

    /// <summary>llama3: original length / this is the wavelength above which frequencies are divided.</summary>
    public double LowFrequencyFactor { get; private init; } = 1;

    /// <summary>llama3: original length / this is the wavelength below which frequencies stay.</summary>
    public double HighFrequencyFactor { get; private init; } = 1;

    /// <summary>llama3 and yarn: the length that the model was first trained with.</summary>
    public double OriginalLength { get; private init; }

    /// <summary>yarn: rotations over the original length above which frequencies stay.</summary>
    public double BetaFast { get; private init; } = 32;

    /// <summary>yarn: rotations over the original length below which frequencies are divided.</summary>
    public double BetaSlow { get; private init; } = 1;

    /// <summary>yarn: whether the ends of the ramp are whole dims.</summary>
    public bool Truncate { get; private init; } = true;

    /// <summary>yarn: what cosines and sines are multiplied by.</summary>
    public double AttentionFactor { get; private init; } = 1;

    /// <summary>Reads the scaling of a config without problems.</summary>
    public static RotaryScaling Of(LlamaConfig config)
    {
        if (config.RopeScaling is not { ValueKind: JsonValueKind.Object } scaling || !Types.TryGetValue(TypeName(scaling), out RopeType type))
            return new RotaryScaling();
        double factor = Number(scaling, "factor") ?? 1;
        return new RotaryScaling
        {
            Type = type,
            Factor = factor,
            LowFrequencyFactor = Number(scaling, "low_freq_factor") ?? 1,
            HighFrequencyFactor = Number(scaling, "high_freq_factor") ?? 1,
            OriginalLength = Number(scaling, "original_max_position_embeddings") ?? config.MaxPositionEmbeddings,
            BetaFast = Positive(scaling, "beta_fast") ?? 32,
            BetaSlow = Positive(scaling, "beta_slow") ?? 1,
            Truncate = !scaling.TryGetProperty("truncate", out JsonElement truncate) || truncate.ValueKind != JsonValueKind.False,
            AttentionFactor = type == RopeType.Yarn ? Number(scaling, "attention_factor") ?? AttentionFactorOf(scaling, factor) : 1,
        };
    }

    /// <summary>What of the object is not supported or lacks.</summary>
    internal static IEnumerable<string> Problems(JsonElement? scaling)
    {
        if (scaling is not { ValueKind: JsonValueKind.Object } given)
            yield break;
        if (given.EnumerateObject().Where(p => p.Value.ValueKind == JsonValueKind.Object).Select(p => p.Name).FirstOrDefault() is { } nested)
        {
            yield return $"rope_parameters has settings of its own for '{nested}', and only one for all layers is supported";
            yield break;
        }

        string name = TypeName(given);
        if (!Types.TryGetValue(name, out RopeType type))
        {
            yield return $"the rotary embedding's rope_type is '{name}', and only {string.Join(", ", Types.Keys)} are supported";
            yield break;
        }

        foreach (string key in Required[type].Where(k => Number(given, k) is not > 0))
            yield return $"rope_scaling of type '{name}' lacks a positive '{key}'";
        if (Number(given, "partial_rotary_factor") is { } part and not 1)
            yield return $"partial_rotary_factor is {part}, and only whole heads are rotated";
        if (type == RopeType.Llama3 && Number(given, "low_freq_factor") >= Number(given, "high_freq_factor"))
            yield return "rope_scaling's low_freq_factor is not below its high_freq_factor";
    }

    // As transformers: 0.1 ln(factor) + 1, or the ratio of two such with DeepSeek's factors.
    private static double AttentionFactorOf(JsonElement scaling, double factor)
    {
        double Of(double scale) => factor <= 1 ? 1 : (0.1 * scale * Math.Log(factor)) + 1;
        return Positive(scaling, "mscale") is { } one && Positive(scaling, "mscale_all_dim") is { } all ? Of(one) / Of(all) : Of(1);
    }

    private static string TypeName(JsonElement scaling) =>
        (scaling.TryGetProperty("rope_type", out JsonElement type) || scaling.TryGetProperty("type", out type)) && type.ValueKind == JsonValueKind.String ? type.GetString()! : "default";

    private static double? Number(JsonElement scaling, string name) =>
        scaling.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.Number ? value.GetDouble() : null;

    private static double? Positive(JsonElement scaling, string name) => Number(scaling, name) is > 0 and { } value ? value : null;
}
