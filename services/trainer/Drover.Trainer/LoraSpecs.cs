using Drover.Formats.Adapters;
using Drover.Formats.HuggingFace;
using Drover.ObjectStore;
using Drover.Protocol.Trainer.V1;

namespace Drover.Trainer;

/// <summary>What a spec says of LoRA: wrong fields, defaults.</summary>
internal static class LoraSpecs
{
    // Of each preset what is not the default.
    private static readonly Dictionary<string, Formats.Adapters.LoraSpec> Presets = new(StringComparer.Ordinal)
    {
        [""] = new(),
        ["lora"] = new(),
        ["rslora"] = new() { Rank = 64, Alpha = 32, RankStabilized = true },
        ["dora"] = new() { Dora = true },
    };

    /// <summary>Every wrong field, as far as can be told without the model.</summary>
    public static IEnumerable<string> Problems(TrainingSpec spec)
    {
        if (spec.Lora is not { } lora)
            yield break;
        if (!Presets.ContainsKey(lora.Preset))
            yield return $"lora.preset is '{lora.Preset}'; there are {string.Join(", ", Presets.Keys.Skip(1))}";
        if (lora.Adapter.Length > 0 && (lora.Rank, lora.Alpha, lora.Targets.Count, lora.ModulesToSave.Count, lora.TokenRowsFrom, lora.HasRankStabilized, lora.HasDora, lora.Preset.Length) != (0, 0, 0, 0, 0, false, false, 0))
            yield return $"lora.adapter is '{lora.Adapter}', whose config says what the adapters are: set nothing beside it but dropout";
        foreach (string problem in lora.Adapter.Length > 0 ? [] : Resolve(lora).Problems())
            yield return problem;
        if (lora.Adapter.Length > 0 && lora.Dropout is not (>= 0 and < 1))
            yield return $"lora.dropout is {lora.Dropout}; give 0 or more, and less than 1";
    }

    /// <summary>Every default filled in; of a run that goes on from an adapter its dropout alone.</summary>
    public static Formats.Adapters.LoraSpec Resolve(Protocol.Trainer.V1.LoraSpec spec)
    {
        Formats.Adapters.LoraSpec preset = Presets.GetValueOrDefault(spec.Preset) ?? new();
        int rank = spec.Rank == 0 ? preset.Rank : spec.Rank;
        return preset with
        {
            Rank = rank,
            // Of the default twice the rank, whatever the rank is.
            Alpha = spec.Alpha != 0 ? spec.Alpha : spec.Rank == 0 || preset.RankStabilized ? preset.Alpha : 2 * rank,
            Dropout = spec.Dropout,
            Targets = spec.Targets.Count == 0 || spec.Targets is ["all"] ? preset.Targets : [.. spec.Targets],
            RankStabilized = spec.HasRankStabilized ? spec.RankStabilized : preset.RankStabilized,
            Dora = spec.HasDora ? spec.Dora : preset.Dora,
            ModulesToSave = [.. spec.ModulesToSave],
            TokenRowsFrom = spec.TokenRowsFrom,
        };
    }

    /// <summary>What the adapters of a run are; null for none. Reads the config of an adapter that it goes on from.</summary>
    public static async Task<Formats.Adapters.LoraSpec?> ResolveAsync(IObjectStore store, TrainingSpec spec, LlamaConfig config, CancellationToken cancellation) => spec.Lora switch
    {
        null => null,
        { Adapter.Length: > 0 } lora => await PeftAdapter.ReadSpecAsync(store, lora.Adapter, config, cancellation).ConfigureAwait(false) with { Dropout = lora.Dropout },
        { } lora => Resolve(lora),
    };

    /// <summary>Whether frozen weights are held for compute alone: there is a model that checkpoints can refer to.</summary>
    public static bool HasBase(TrainingSpec spec) =>
        spec.InitialCase != TrainingSpec.InitialOneofCase.FromScratch && (spec.Lora is not null || spec.EmbeddingsOnly || spec.Frozen.Count > 0);
}
