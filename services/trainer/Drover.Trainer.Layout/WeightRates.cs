using System.Text.RegularExpressions;
using Drover.Formats.Adapters;
using Drover.Formats.HuggingFace;

namespace Drover.Trainer.Layout;

/// <summary>Which weights are trained, and how fast each, by patterns of Hugging Face names in which "*" stands for any characters.</summary>
public sealed record WeightRates
{
    /// <summary>Weights that stay as they are: no update, no decay, no part of the gradient's norm. They are saved with the others.</summary>
    public IReadOnlyList<string> Frozen { get; init; } = [];

    /// <summary>Everything but the input embedding and the output matrix is frozen.</summary>
    public bool EmbeddingsOnly { get; init; }

    /// <summary>Factors of the learning rate; of several that match a name the first counts, of none the factor is 1.</summary>
    public IReadOnlyList<WeightRate> Groups { get; init; } = [];

    /// <summary>What the learning rate is multiplied by for a weight; 0 where it is frozen.</summary>
    public double FactorOf(string name)
    {
        if (EmbeddingsOnly && name is not (LlamaTensors.Embedding or LlamaTensors.Head))
            return 0;
        return Frozen.Any(pattern => Matches(pattern, name)) ? 0 : Groups.FirstOrDefault(g => Matches(g.Pattern, name))?.Factor ?? 1;
    }

    /// <summary>What of it cannot be for a model.</summary>
    /// <param name="config">The model.</param>
    /// <param name="lora">Adapters: patterns are then of what they train; null for none.</param>
    public IEnumerable<string> Problems(LlamaConfig config, LoraSpec? lora = null)
    {
        string[] names = [.. (lora is null ? LlamaTensors.All(config) : AdapterTensors.All(lora, config)).Select(w => w.Name)];
        if (lora is not null && (EmbeddingsOnly || Frozen.Count > 0))
            yield return "frozen and embeddings_only say what lora says already: it freezes the model. Choose lora.targets, or lora.modules_to_save";
        foreach (string pattern in Frozen.Concat(Groups.Select(g => g.Pattern)))
        {
            if (!names.Any(name => Matches(pattern, name)))
                yield return $"the pattern '{pattern}' matches no weight that could be trained; those are called e.g. '{names.FirstOrDefault()}' and '{names.LastOrDefault()}'";
        }

        foreach (WeightRate group in Groups.Where(g => !(g.Factor > 0 && double.IsFinite(g.Factor))))
            yield return $"the learning rate factor of '{group.Pattern}' is {group.Factor}; give more than 0, or name the pattern in frozen";
        if (names.All(name => FactorOf(name) == 0))
            yield return "every weight is frozen: nothing would be trained";
    }

    private static bool Matches(string pattern, string name) =>
        Regex.IsMatch(name, $"^{Regex.Escape(pattern).Replace("\\*", ".*", StringComparison.Ordinal)}$", RegexOptions.CultureInvariant);
}

/// <summary>A factor of the learning rate.</summary>
/// <param name="Pattern">Of the names it is for.</param>
/// <param name="Factor">More than 0.</param>
public sealed record WeightRate(string Pattern, double Factor);
