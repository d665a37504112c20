using System.Globalization;
using System.Text.RegularExpressions;
using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.Protocol.Trainer.V1;

namespace Drover.Trainer;

/// <summary>What lies where in a run, for people to see before it starts.</summary>
internal static partial class TrainingPlans
{
    /// <summary>Where the plan of a run is kept.</summary>
    public static string Key(string run) => $"{RunKeys.Run(run)}/plan.json";

    /// <summary>The plan of a spec that has no problems.</summary>
    /// <param name="spec">The run.</param>
    /// <param name="config">Its model.</param>
    /// <param name="rowTokens">Tokens of a full row.</param>
    /// <param name="lora">Its adapters; null for none.</param>
    public static TrainingPlan Of(TrainingSpec spec, LlamaConfig config, int rowTokens, Formats.Adapters.LoraSpec? lora)
    {
        Layout.ParallelSpec parallel = ParallelismSpecs.Resolve(spec.Parallelism);
        int ranks = TrainingSpecs.Ranks(spec), replicas = parallel.DataParallel(ranks), rows = TrainingSpecs.MicroBatchRows(spec);
        var layout = new Layout.LayoutSpec(
            config,
            parallel,
            ranks,
            spec.Precision == Precision.Fp32 ? 4 : 2,
            (long)rows * rowTokens,
            spec.GlobalBatchRows / (rows * replicas),
            ActivationSpecs.Resolve(spec),
            spec.HeadChunkTokens)
        {
            Optimizer = TrainingSpecs.KindOf(spec),
            Rates = TrainingSpecs.RatesOf(spec),
            Lora = lora,
            HasBase = LoraSpecs.HasBase(spec),
        };
        return new TrainingPlan
        {
            Run = spec.Name,
            Ranks = ranks,
            Parallelism = ParallelismSpecs.Describe(parallel, spec.Parallelism?.Preset ?? ""),
            DataParallel = replicas,
            MicroBatches = layout.MicroBatches,
            MicroBatchTokens = layout.MicroBatchTokens,
            WeightCount = LlamaTensors.All(config).Sum(w => w.Shape.Aggregate(1L, (n, d) => n * d)),
            PipelineBubble = layout.PipelineBubble,
            Weights = { Weights(config, parallel.TensorParallel) },
            RankPlans = { Layout.RankLayout.AllOf(layout).Select(Describe) },
        };
    }

    /// <summary>The plan in one line.</summary>
    public static string Summary(TrainingPlan plan)
    {
        ParallelismSpec p = plan.Parallelism;
        RankPlan largest = plan.RankPlans.MaxBy(r => r.DeviceBytes + r.HostBytes)!;
        string placement = p.Placement.ToString().ToLowerInvariant();
        return string.Create(CultureInfo.InvariantCulture, $"Layout: {plan.Ranks} ranks = {p.PipelineParallel} pipeline x {plan.DataParallel} data x {p.SequenceParallel} sequence x {p.TensorParallel} tensor, state {placement}; {plan.MicroBatches} micro-batches of {plan.MicroBatchTokens} tokens a step. Planned memory of the largest rank ({largest.Rank}): {Megabytes(largest.DeviceBytes)} device, {Megabytes(largest.HostBytes)} host, {Megabytes(largest.LogitsBytes)} logits. All of it: '{Key(plan.Run)}'.");
    }

    private static string Megabytes(long bytes) => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1e6:0.0} MB");

    private static IEnumerable<WeightPlan> Weights(LlamaConfig config, int tensorRanks) =>
        LlamaTensors.All(config).GroupBy(w => LayerNumber().Replace(w.Name, ".*.")).Select(kind =>
        {
            (string name, long[] shape) = kind.First();
            var plan = new WeightPlan { Name = kind.Key, Count = kind.Count(), Shape = { shape }, PartShape = { Layout.CutTable.PartOf(name, shape, 0, tensorRanks).Shape } };
            if (tensorRanks > 1 && Layout.CutTable.DimOf(name) is { } dim)
                plan.CutDim = dim;
            return plan;
        });

    private static RankPlan Describe(Layout.RankLayout rank) => new()
    {
        Rank = rank.Rank,
        Pipeline = rank.Coordinates.Pipeline,
        Data = rank.Coordinates.Data,
        Sequence = rank.Coordinates.Sequence,
        Tensor = rank.Coordinates.Tensor,
        Blocks = { rank.BlockNames },
        WeightCount = rank.WeightCount,
        // Numbers of classes and places follow "unspecified".
        Memory = { rank.Memory.Select(m => new MemoryPlan { MemoryClass = (MemoryClass)((int)m.Class + 1), Place = (MemoryPlace)((int)m.Place + 1), Bytes = m.Bytes }) },
        DeviceBytes = rank.BytesIn(Layout.MemoryPlace.Device),
        HostBytes = rank.BytesIn(Layout.MemoryPlace.Host),
        LogitsBytes = rank.LogitsBytes,
    };

    [GeneratedRegex(@"\.\d+\.")]
    private static partial Regex LayerNumber();
}
