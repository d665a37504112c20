using Drover.Protocol.Trainer.V1;

namespace Drover.Trainer;

/// <summary>The presets of parallelism, and what a spec makes of one.</summary>
internal static class ParallelismSpecs
{
    /// <summary>The seed's names, and those between them.</summary>
    private static readonly Dictionary<string, Layout.ParallelSpec> Presets = new(StringComparer.Ordinal)
    {
        [""] = new(),
        ["ddp"] = new(),
        ["zero1"] = new() { Placement = Layout.StatePlacement.Zero1 },
        ["zero2"] = new() { Placement = Layout.StatePlacement.Zero2 },
        ["zero2_cpu"] = new() { Placement = Layout.StatePlacement.Zero2, OffloadOptimizer = true },
        ["zero3"] = new() { Placement = Layout.StatePlacement.Zero3 },
        ["gemini"] = new() { Placement = Layout.StatePlacement.Gemini },
        ["gemini_auto"] = new() { Placement = Layout.StatePlacement.Gemini, Gemini = new Layout.GeminiSpec { Policy = Layout.GeminiPolicy.Auto } },
        ["3d"] = new() { TensorParallel = 2, PipelineParallel = 2, Placement = Layout.StatePlacement.Zero1 },
    };

    /// <summary>What can be said wrong of a spec without the model.</summary>
    public static IEnumerable<string> Problems(ParallelismSpec? spec)
    {
        if (spec is null)
            yield break;
        if (!Presets.ContainsKey(spec.Preset))
            yield return $"parallelism.preset is '{spec.Preset}'; it may be {string.Join(", ", Presets.Keys.Where(name => name.Length > 0))}";
        foreach ((string field, int value, bool known) in new[]
        {
            ("pipeline_order", (int)spec.PipelineOrder, Enum.IsDefined(spec.PipelineOrder)),
            ("sequence_mode", (int)spec.SequenceMode, Enum.IsDefined(spec.SequenceMode)),
            ("placement", (int)spec.Placement, Enum.IsDefined(spec.Placement)),
            ("gemini.policy", (int)(spec.Gemini?.Policy ?? 0), Enum.IsDefined(spec.Gemini?.Policy ?? 0)),
        })
        {
            if (!known)
                yield return $"parallelism.{field} {value} is unknown";
        }
    }

    /// <summary>The preset with what is set beside it.</summary>
    public static Layout.ParallelSpec Resolve(ParallelismSpec? spec)
    {
        spec ??= new ParallelismSpec();
        Layout.ParallelSpec preset = Presets.GetValueOrDefault(spec.Preset) ?? new Layout.ParallelSpec();
        return preset with
        {
            TensorParallel = Or(spec.TensorParallel, preset.TensorParallel),
            PipelineParallel = Or(spec.PipelineParallel, preset.PipelineParallel),
            PartsPerRank = Or(spec.PartsPerRank, preset.PartsPerRank),
            PipelineOrder = spec.PipelineOrder == PipelineOrder.Gpipe ? Layout.PipelineOrder.GPipe : Layout.PipelineOrder.OneForwardOneBackward,
            SequenceParallel = Or(spec.SequenceParallel, preset.SequenceParallel),
            // The numbers of the two are the same, and of the placement they are one apart.
            SequenceMode = (Layout.SequenceMode)spec.SequenceMode,
            Placement = spec.Placement == StatePlacement.Unspecified ? preset.Placement : (Layout.StatePlacement)((int)spec.Placement - 1),
            OffloadOptimizer = spec.HasOffloadOptimizer ? spec.OffloadOptimizer : preset.OffloadOptimizer,
            OffloadWeights = spec.HasOffloadWeights ? spec.OffloadWeights : preset.OffloadWeights,
            Gemini = Resolve(spec.Gemini ?? new GeminiSpec(), preset.Gemini),
        };
    }

    /// <summary>A spec with every field filled in, for people and programs to read.</summary>
    public static ParallelismSpec Describe(Layout.ParallelSpec spec, string preset) => new()
    {
        Preset = preset.Length > 0 ? preset : "ddp",
        TensorParallel = spec.TensorParallel,
        PipelineParallel = spec.PipelineParallel,
        PartsPerRank = spec.PartsPerRank,
        PipelineOrder = spec.PipelineOrder == Layout.PipelineOrder.GPipe ? PipelineOrder.Gpipe : PipelineOrder._1F1B,
        SequenceParallel = spec.SequenceParallel,
        SequenceMode = (SequenceMode)spec.SequenceMode,
        Placement = (StatePlacement)((int)spec.Placement + 1),
        OffloadOptimizer = spec.OffloadOptimizer,
        OffloadWeights = spec.OffloadWeights,
        Gemini = spec.Placement != Layout.StatePlacement.Gemini ? null : new GeminiSpec
        {
            ChunkValues = spec.Gemini.ChunkValues,
            Policy = spec.Gemini.Policy == Layout.GeminiPolicy.Auto ? GeminiPolicy.Auto : GeminiPolicy.Static,
            DeviceBudgetBytes = spec.Gemini.DeviceBudgetBytes,
            OffloadWeightsFraction = spec.Gemini.OffloadWeightsFraction,
            OffloadOptimizerFraction = spec.Gemini.OffloadOptimizerFraction,
        },
    };

    private static Layout.GeminiSpec Resolve(GeminiSpec spec, Layout.GeminiSpec preset) => preset with
    {
        ChunkValues = spec.ChunkValues == 0 ? preset.ChunkValues : spec.ChunkValues,
        Policy = spec.Policy switch
        {
            GeminiPolicy.Static => Layout.GeminiPolicy.Static,
            GeminiPolicy.Auto => Layout.GeminiPolicy.Auto,
            _ => preset.Policy,
        },
        DeviceBudgetBytes = spec.DeviceBudgetBytes,
        OffloadWeightsFraction = spec.HasOffloadWeightsFraction ? spec.OffloadWeightsFraction : preset.OffloadWeightsFraction,
        OffloadOptimizerFraction = spec.HasOffloadOptimizerFraction ? spec.OffloadOptimizerFraction : preset.OffloadOptimizerFraction,
    };

    private static int Or(int value, int preset) => value == 0 ? preset : value;
}
