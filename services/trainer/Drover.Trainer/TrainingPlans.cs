using System.Globalization;
using System.Text.RegularExpressions;
using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.Protocol.Trainer.V1;
using Drover.Trainer.Contract;

namespace Drover.Trainer;

/// <summary>What lies where in a run, for people to see before it starts.</summary>
internal static partial class TrainingPlans
{
    /// <summary>Where the plan of a run is kept.</summary>
    public static string Key(string run) => $"{RunKeys.Run(run)}/plan.json";

    /// <summary>What memory and speed of a spec without problems depend on.</summary>
    public static Layout.LayoutSpec LayoutOf(TrainingSpec spec, LlamaConfig config, int rowTokens, Formats.Adapters.LoraSpec? lora)
    {
        Layout.ParallelSpec parallel = ParallelismSpecs.Resolve(spec.Parallelism);
        int ranks = TrainingSpecs.Ranks(spec), replicas = parallel.DataParallel(ranks), rows = TrainingSpecs.MicroBatchRows(spec);
        return new Layout.LayoutSpec(
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
    }

    /// <summary>The plan of a spec that has no problems.</summary>
    /// <param name="spec">The run.</param>
    /// <param name="config">Its model.</param>
    /// <param name="rowTokens">Tokens of a full row.</param>
    /// <param name="lora">Its adapters; null for none.</param>
    /// <param name="elsewhere">Ranks run on other machines.</param>
    public static TrainingPlan Of(TrainingSpec spec, LlamaConfig config, int rowTokens, Formats.Adapters.LoraSpec? lora, bool elsewhere)
    {
        Layout.LayoutSpec layout = LayoutOf(spec, config, rowTokens, lora);
        Layout.ParallelSpec parallel = layout.Parallel;
        var plan = new TrainingPlan
        {
            Run = spec.Name,
            Ranks = layout.Ranks,
            Parallelism = ParallelismSpecs.Describe(parallel, spec.Parallelism?.Preset ?? ""),
            DataParallel = parallel.DataParallel(layout.Ranks),
            MicroBatches = layout.MicroBatches,
            MicroBatchTokens = layout.MicroBatchTokens,
            WeightCount = LlamaTensors.All(config).Sum(w => w.Shape.Aggregate(1L, (n, d) => n * d)),
            PipelineBubble = layout.PipelineBubble,
            Weights = { Weights(config, parallel.TensorParallel) },
            RankPlans = { Layout.RankLayout.AllOf(layout).Select(Describe) },
        };
        plan.Memory = MemoryNeeds.Of(plan, spec.MemoryLimitBytes, elsewhere, onGpus: spec.Device == Device.Cuda);
        return plan;
    }

    /// <summary>The plan in one line.</summary>
    public static string Summary(TrainingPlan plan)
    {
        ParallelismSpec p = plan.Parallelism;
        RankPlan largest = plan.RankPlans.MaxBy(r => r.DeviceBytes + r.HostBytes)!;
        string placement = p.Placement.ToString().ToLowerInvariant();
        return string.Create(CultureInfo.InvariantCulture, $"Layout: {plan.Ranks} ranks = {p.PipelineParallel} pipeline x {plan.DataParallel} data x {p.SequenceParallel} sequence x {p.TensorParallel} tensor, state {placement}; {plan.MicroBatches} micro-batches of {plan.MicroBatchTokens} tokens a step. Planned memory of the largest rank ({largest.Rank}): {Megabytes(largest.DeviceBytes)} device, {Megabytes(largest.HostBytes)} host, {Megabytes(largest.LogitsBytes)} logits.{(plan.Speed is { Missing: "" } speed ? $" Predicted: {speed.TokensPerSecond:0} tokens/s." : "")} All of it: '{Key(plan.Run)}'.");
    }

    /// <summary>The plan beside what came of it.</summary>
    public static PlanComparison Compare(TrainingPlan plan, EndedEvent ended) => new()
    {
        PlannedTokensPerSecond = plan.Speed?.TokensPerSecond ?? 0,
        MeasuredTokensPerSecond = ended.TokensPerSecond,
        PlannedBytes = plan.RankPlans.Max(r => r.DeviceBytes + r.HostBytes),
        MeasuredBytes = ended.CountedBytes,
        ResidentBytes = ended.ResidentBytes,
    };

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
