using System.Globalization;
using Drover.Formats.Adapters;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Engine;
using Drover.Trainer.Layout;
using Drover.Trainer.Model;
using Drover.Trainer.Parallelism;

namespace Drover.Benchmarks;

/// <summary>
/// Arguments of the step benchmark, as key=value. The defaults are the shapes that the peer's script uses: 8 layers of 512, 32,000
/// ids, 4 rows of 512 tokens. Keys: precision steps chunk threads rows micro length documents (one | mixed) recompute (none | full | blocks | attention | feedforward) blocks offload layers hidden
/// inner heads vocab optimizer (adamw | adamw8bit) weights (random | constant) placement (replicated | zero1 | zero2 | zero3 | gemini) tp pp parts sp mode (split_gather | ring | all_to_all) offload_optimizer (true | false) lora (rank; 0 for none) dora (true | false).
/// </summary>
internal sealed class StepArguments
{
    private readonly Dictionary<string, string> _values;

    private StepArguments(Dictionary<string, string> values) => _values = values;

    public int Steps => Number("steps", 6);

    public int Threads => Number("threads", 2);

    public int Rows => Number("rows", 4);

    public int Length => Number("length", 512);

    public bool MixedDocuments => Text("documents", "one") == "mixed";

    /// <summary>Weights that take no time to make: for measuring memory.</summary>
    public bool AreWeightsConstant => Text("weights", "random") == "constant";

    /// <summary>Of the plan benchmark: speed, memory or resident.</summary>
    public string What => Text("what", "speed");

    /// <summary>Of the generation benchmark: texts continued together.</summary>
    public int Texts => Number("texts", 1);

    /// <summary>Of each prompt.</summary>
    public int PromptTokens => Number("prompt", 128);

    /// <summary>Of each continuation.</summary>
    public int NewTokens => Number("new", 128);

    /// <summary>Tokens that are made without a cache, to compare with.</summary>
    public int WithoutCache => Number("without", 16);

    public Precision Precision => Enum.Parse<Precision>(Text("precision", "bf16"), ignoreCase: true);

    public LlamaConfig Config => new()
    {
        VocabSize = Number("vocab", 32000),
        HiddenSize = Number("hidden", 512),
        IntermediateSize = Number("inner", 1376),
        NumHiddenLayers = Number("layers", 8),
        NumAttentionHeads = Number("heads", 8),
    };

    /// <summary>What the memory of the run depends on.</summary>
    public LayoutSpec LayoutFor(int ranks, int? layers = null)
    {
        EngineSpec spec = SpecFor(ranks);
        return new LayoutSpec(Config with { NumHiddenLayers = layers ?? Config.NumHiddenLayers }, spec.Parallel, ranks, Precision == Precision.Fp32 ? 4 : 2, (long)spec.MicroBatchRows * Length, spec.GlobalBatchRows / (spec.MicroBatchRows * spec.Parallel.DataParallel(ranks)), spec.Activations, spec.HeadChunkTokens);
    }

    public EngineSpec SpecFor(int ranks)
    {
        var parallel = new ParallelSpec
        {
            TensorParallel = Number("tp", 1),
            PipelineParallel = Number("pp", 1),
            PartsPerRank = Number("parts", 1),
            SequenceParallel = Number("sp", 1),
            SequenceMode = Enum.Parse<SequenceMode>(Text("mode", "none").Replace("_", "", StringComparison.Ordinal), ignoreCase: true),
            OffloadOptimizer = Text("offload_optimizer", "false") == "true",
            Placement = Enum.Parse<StatePlacement>(Text("placement", "replicated"), ignoreCase: true),
        };
        return new EngineSpec
        {
            Precision = Precision,
            GlobalBatchRows = Rows,
            MicroBatchRows = Number("micro", Rows / parallel.DataParallel(ranks)),
            HeadChunkTokens = Number("chunk", 512),
            Activations = new ActivationSpec { Mode = Enum.Parse<RecomputeMode>(Text("recompute", "none"), ignoreCase: true), Blocks = Number("blocks", 0), Offload = Text("offload", "false") == "true" },
            Schedule = new ScheduleSpec { TotalSteps = 100_000 },
            Threads = Threads,
            Parallel = parallel,
            Lora = Number("lora", 0) is > 0 and int rank ? new LoraSpec { Rank = rank, Dora = Text("dora", "false") == "true" } : null,
            Optimizer = new AdamWSpec { Kind = Enum.Parse<OptimizerKind>(Text("optimizer", "adamw"), ignoreCase: true) },
        };
    }

    public static StepArguments Parse(string[] args) =>
        new(args.Select(a => a.Split('=', 2)).ToDictionary(p => p[0], p => p.Length == 2 ? p[1] : throw new ArgumentException($"'{p[0]}' is not key=value."), StringComparer.Ordinal));

    private int Number(string key, int fallback) => int.Parse(Text(key, fallback.ToString(CultureInfo.InvariantCulture)), CultureInfo.InvariantCulture);

    private string Text(string key, string fallback) => _values.GetValueOrDefault(key, fallback);
}
