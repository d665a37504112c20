using System.Text.Json.Serialization;
using System.Text.RegularExpressions;
using Drover.Formats.HuggingFace;

namespace Drover.Formats.Adapters;

/// <summary>
/// LoRA (Hu et al., 2021): beside a frozen weight W [out, in] stand A [rank, in] and B [out, rank], and the product is that of
/// W + scale B A. Which weights have adapters, and what is trained beside them. Fields that decide a model's numbers go into the
/// manifest of a checkpoint.
/// </summary>
public sealed record LoraSpec
{
    /// <summary>The linear layers of a decoder layer: what "all" stands for.</summary>
    public static IReadOnlyList<string> AllLinear { get; } = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

    /// <summary>Rows of A, columns of B.</summary>
    public int Rank { get; init; } = 16;

    /// <summary>The scale is alpha / rank.</summary>
    public double Alpha { get; init; } = 32;

    /// <summary>Part of the adapters' input that is set to zero while training, 0 to 1.</summary>
    public double Dropout { get; init; }

    /// <summary>Modules with adapters: names ("q_proj") or patterns of whole names in which "*" stands for any characters.</summary>
    public IReadOnlyList<string> Targets { get; init; } = AllLinear;

    /// <summary>rsLoRA (Kalajdzievski, 2023): the scale is alpha / sqrt(rank).</summary>
    public bool RankStabilized { get; init; }

    /// <summary>DoRA (Liu et al., 2024): rows of W + scale B A have a trained length of their own.</summary>
    public bool Dora { get; init; }

    /// <summary>Modules of the model that are trained whole beside the adapters, named as <see cref="Targets"/>.</summary>
    public IReadOnlyList<string> ModulesToSave { get; init; } = [];

    /// <summary>Rows of embedding and head from this id on are trained, those before stay as they are; 0 for none.</summary>
    public long TokenRowsFrom { get; init; }

    /// <summary>What B A is multiplied by.</summary>
    [JsonIgnore]
    public double Scale => Alpha / (RankStabilized ? Math.Sqrt(Rank) : Rank);

    /// <summary>Whether a weight of a model has an adapter.</summary>
    public bool IsTarget(string weight) =>
        weight.EndsWith(".weight", StringComparison.Ordinal) && AllLinear.Any(l => weight.EndsWith($".{l}.weight", StringComparison.Ordinal)) && Matches(Targets, weight);

    /// <summary>Whether a weight of the model is trained whole.</summary>
    public bool IsSaved(string weight) => Matches(ModulesToSave, weight);

    /// <summary>Whether some rows of a weight are trained by themselves.</summary>
    public bool HasTokenRows(string weight) => TokenRowsFrom > 0 && weight is (LlamaTensors.Embedding or LlamaTensors.Head);

    /// <summary>Every wrong field, as far as can be told without the model.</summary>
    public IEnumerable<string> Problems()
    {
        if (Rank is < 1 or > 4096)
            yield return $"lora.rank is {Rank}; give 1 to 4096";
        if (!(Alpha > 0 && double.IsFinite(Alpha)))
            yield return $"lora.alpha is {Alpha}; give more than 0";
        if (Dropout is not (>= 0 and < 1))
            yield return $"lora.dropout is {Dropout}; give 0 or more, and less than 1";
        if (TokenRowsFrom < 0)
            yield return $"lora.token_rows_from is {TokenRowsFrom}; give the first new id of the vocabulary, or 0";
        if (Targets.Count == 0)
            yield return "lora.targets is empty";
    }

    /// <summary>What of it cannot be for a model.</summary>
    public IEnumerable<string> Problems(LlamaConfig config)
    {
        string[] names = [.. LlamaTensors.All(config).Select(w => w.Name)];
        foreach (string target in Targets.Where(t => !names.Any((this with { Targets = [t] }).IsTarget)))
            yield return $"lora.targets: '{target}' is no linear layer of the model's decoder layers; those are {string.Join(", ", AllLinear)} (patterns are of whole names, e.g. 'model.layers.*.self_attn.q_proj'; embed_tokens and lm_head go into modules_to_save)";
        foreach (string module in ModulesToSave.Where(m => !names.Any(n => Matches([m], n))))
            yield return $"lora.modules_to_save: '{module}' matches no module of the model";
        if (names.FirstOrDefault(n => IsTarget(n) && IsSaved(n)) is { } both)
            yield return $"'{AdapterTensors.ModuleOf(both)}' is in lora.targets and in lora.modules_to_save; it can be in one of them";
        if (TokenRowsFrom >= config.VocabSize)
            yield return $"lora.token_rows_from is {TokenRowsFrom}, and the model has {config.VocabSize} rows: none would be trained";
        if (TokenRowsFrom > 0 && names.FirstOrDefault(n => n is LlamaTensors.Embedding or LlamaTensors.Head && IsSaved(n)) is { } whole)
            yield return $"lora.modules_to_save has '{AdapterTensors.ModuleOf(whole)}', which is trained whole then: leave it out, or token_rows_from";
    }

    // As PEFT does: a name is the end of a module's name.
    private static bool Matches(IEnumerable<string> targets, string weight)
    {
        string module = AdapterTensors.ModuleOf(weight);
        return targets.Any(t => t.Contains('*', StringComparison.Ordinal)
            ? Regex.IsMatch(module, $"^{Regex.Escape(t).Replace("\\*", ".*", StringComparison.Ordinal)}$", RegexOptions.CultureInvariant)
            : module == t || module.EndsWith("." + t, StringComparison.Ordinal));
    }
}
