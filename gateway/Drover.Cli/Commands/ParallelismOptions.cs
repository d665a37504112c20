using System.CommandLine;
using Drover.Protocol.Trainer.V1;

namespace Drover.Cli.Commands;

/// <summary>Options of <c>drover train start</c> that say how a run is spread over its ranks.</summary>
internal static class ParallelismOptions
{
    private const int NotGiven = 0;
    private static readonly Option<string> Preset = new("--preset") { Description = "ddp, zero1, zero2, zero2_cpu, zero3, gemini, gemini_auto or 3d; the options after it win", HelpName = "PRESET", DefaultValueFactory = _ => "" };
    private static readonly Option<int> Tensor = new("--tensor-parallel") { Description = "Ranks that share each weight", HelpName = "RANKS" };
    private static readonly Option<int> Pipeline = new("--pipeline-parallel") { Description = "Ranks that hold different layers", HelpName = "RANKS" };
    private static readonly Option<int> Parts = new("--parts-per-rank") { Description = "Stretches of layers on each rank of the pipeline: more than 1 interleaves", HelpName = "PARTS" };
    private static readonly Option<PipelineOrder> Order = EnumOption.Of("--pipeline-order", "Order of the passes", ("1f1b", PipelineOrder._1F1B), ("gpipe", PipelineOrder.Gpipe));
    private static readonly Option<int> Sequence = new("--sequence-parallel") { Description = "Ranks that share the tokens of a row (ring, all_to_all)", HelpName = "RANKS" };
    private static readonly Option<SequenceMode> Mode = EnumOption.Of("--sequence-mode", "How they do", ("split_gather", SequenceMode.SplitGather), ("ring", SequenceMode.Ring), ("all_to_all", SequenceMode.AllToAll));
    private static readonly Option<StatePlacement> Placement = EnumOption.Of(
        "--placement", "Where state lives", ("replicated", StatePlacement.Replicated), ("zero1", StatePlacement.Zero1), ("zero2", StatePlacement.Zero2), ("zero3", StatePlacement.Zero3), ("gemini", StatePlacement.Gemini));
    private static readonly Option<bool?> OffloadOptimizer = new("--offload-optimizer") { Description = "Master weights and moments in host memory" };
    private static readonly Option<bool?> OffloadWeights = new("--offload-weights") { Description = "Shards of weights in host memory (zero3)" };
    private static readonly Option<long> GeminiChunk = new("--gemini-chunk-values") { Description = "Values of a chunk; 0 means 33554432", HelpName = "VALUES" };
    private static readonly Option<long> GeminiBudget = new("--gemini-budget-bytes") { Description = "Device memory that everything must fit into", HelpName = "BYTES" };
    private static readonly Option<double?> GeminiWeights = new("--gemini-offload-weights") { Description = "Part of the weights' chunks in host memory, 0 to 1", HelpName = "PART" };
    private static readonly Option<double?> GeminiOptimizer = new("--gemini-offload-optimizer") { Description = "Part of the optimizer's chunks in host memory, 0 to 1", HelpName = "PART" };

    /// <summary>All of them.</summary>
    public static IEnumerable<Option> All =>
    [
        Preset, Tensor, Pipeline, Parts, Order, Sequence, Mode, Placement, OffloadOptimizer, OffloadWeights,
        GeminiChunk, GeminiBudget, GeminiWeights, GeminiOptimizer,
    ];

    /// <summary>What was given; null for nothing.</summary>
    public static ParallelismSpec? Read(ParseResult parse)
    {
        var spec = new ParallelismSpec
        {
            Preset = parse.GetValue(Preset),
            TensorParallel = parse.GetValue(Tensor),
            PipelineParallel = parse.GetValue(Pipeline),
            PartsPerRank = parse.GetValue(Parts),
            PipelineOrder = parse.GetValue(Order),
            SequenceParallel = parse.GetValue(Sequence),
            SequenceMode = parse.GetValue(Mode),
            Placement = parse.GetValue(Placement),
        };
        if (parse.GetValue(OffloadOptimizer) is { } optimizer)
            spec.OffloadOptimizer = optimizer;
        if (parse.GetValue(OffloadWeights) is { } weights)
            spec.OffloadWeights = weights;
        var gemini = new GeminiSpec { ChunkValues = parse.GetValue(GeminiChunk), DeviceBudgetBytes = parse.GetValue(GeminiBudget) };
        if (parse.GetValue(GeminiWeights) is { } weightsPart)
            gemini.OffloadWeightsFraction = weightsPart;
        if (parse.GetValue(GeminiOptimizer) is { } optimizerPart)
            gemini.OffloadOptimizerFraction = optimizerPart;
        spec.Gemini = gemini.CalculateSize() > NotGiven ? gemini : null;
        return spec.CalculateSize() > NotGiven ? spec : null;
    }
}
