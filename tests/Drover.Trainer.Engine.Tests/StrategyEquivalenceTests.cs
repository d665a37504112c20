using System.Text.Json;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Collectives;

namespace Drover.Trainer.Engine.Tests;

/// <summary>Every strategy trains the same model: losses, learning rates and gradient norms of 20 steps, and the weights after them.</summary>
public class StrategyEquivalenceTests
{
    private const int Steps = 20;

    internal static readonly Dictionary<string, (int Ranks, ParallelSpec Spec)> Strategies = new(StringComparer.Ordinal)
    {
        ["ddp 2"] = (2, new ParallelSpec()),
        ["zero1"] = (2, new ParallelSpec { Placement = StatePlacement.Zero1 }),
        ["zero1 offload"] = (2, new ParallelSpec { Placement = StatePlacement.Zero1, OffloadOptimizer = true }),
        ["zero2"] = (2, new ParallelSpec { Placement = StatePlacement.Zero2 }),
        ["zero2 offload"] = (2, new ParallelSpec { Placement = StatePlacement.Zero2, OffloadOptimizer = true }),
        ["zero3"] = (2, new ParallelSpec { Placement = StatePlacement.Zero3 }),
        ["zero3 offload"] = (2, new ParallelSpec { Placement = StatePlacement.Zero3, OffloadOptimizer = true, OffloadWeights = true }),
        ["zero3 of 4"] = (4, new ParallelSpec { Placement = StatePlacement.Zero3 }),
        ["tp 2"] = (2, new ParallelSpec { TensorParallel = 2 }),
        ["pp 2"] = (2, new ParallelSpec { PipelineParallel = 2 }),
        ["pp 2 gpipe"] = (2, new ParallelSpec { PipelineParallel = 2, PipelineOrder = PipelineOrder.GPipe }),
        ["pp 4"] = (4, new ParallelSpec { PipelineParallel = 4 }),
        ["pp 2 interleaved"] = (2, new ParallelSpec { PipelineParallel = 2, PartsPerRank = 2 }),
        ["tp 2 x pp 2"] = (4, new ParallelSpec { TensorParallel = 2, PipelineParallel = 2 }),
        ["tp 2 x dp 2 zero1"] = (4, new ParallelSpec { TensorParallel = 2, Placement = StatePlacement.Zero1 }),
        ["pp 2 x dp 2"] = (4, new ParallelSpec { PipelineParallel = 2 }),
        ["pp 2 x dp 2 zero2"] = (4, new ParallelSpec { PipelineParallel = 2, Placement = StatePlacement.Zero2 }),
        ["split_gather"] = (2, new ParallelSpec { TensorParallel = 2, SequenceMode = SequenceMode.SplitGather }),
        ["split_gather x dp 2 zero3"] = (4, new ParallelSpec { TensorParallel = 2, SequenceMode = SequenceMode.SplitGather, Placement = StatePlacement.Zero3 }),
        ["ring 2"] = (2, new ParallelSpec { SequenceParallel = 2, SequenceMode = SequenceMode.Ring }),
        ["ring 4"] = (4, new ParallelSpec { SequenceParallel = 4, SequenceMode = SequenceMode.Ring }),
        ["all_to_all"] = (2, new ParallelSpec { SequenceParallel = 2, SequenceMode = SequenceMode.AllToAll }),
        ["all_to_all 4, heads repeated"] = (4, new ParallelSpec { SequenceParallel = 4, SequenceMode = SequenceMode.AllToAll }),
        ["ring 2 x tp 2"] = (4, new ParallelSpec { SequenceParallel = 2, SequenceMode = SequenceMode.Ring, TensorParallel = 2 }),
        ["gemini static on the device"] = (2, Gemini(new GeminiSpec { OffloadOptimizerFraction = 0 })),
        ["gemini static half"] = (2, Gemini(new GeminiSpec { OffloadWeightsFraction = 0.5, OffloadOptimizerFraction = 0.5 })),
        ["gemini static in host memory, 1 rank"] = (1, Gemini(new GeminiSpec { OffloadWeightsFraction = 1 })),
        ["gemini auto, 1 rank"] = (1, GeminiAuto(500_000)),
        ["gemini auto"] = (2, GeminiAuto(400_000)),
        ["gemini auto x tp 2"] = (2, GeminiAuto(400_000) with { TensorParallel = 2 }),
        ["gemini auto x pp 2"] = (2, GeminiAuto(400_000) with { PipelineParallel = 2 }),
        ["gemini auto x split_gather x dp 2"] = (4, GeminiAuto(300_000) with { TensorParallel = 2, SequenceMode = SequenceMode.SplitGather }),
        ["tp 2 x pp 2 x dp 2 zero1"] = (8, new ParallelSpec { TensorParallel = 2, PipelineParallel = 2, Placement = StatePlacement.Zero1 }),
    };

    private static readonly ActivationSpec[] MemoryOptions =
    [
        new() { Mode = RecomputeMode.Attention },
        new() { Mode = RecomputeMode.FeedForward, Offload = true },
        new() { Mode = RecomputeMode.Blocks, Blocks = 2, Offload = true },
        new() { Mode = RecomputeMode.Full, Offload = true },
        new() { Offload = true },
    ];

    private static readonly Dictionary<bool, Lazy<Trained>> Reference = new()
    {
        [false] = new(() => Train(new SingleRank(), new ParallelSpec(), Config(tied: false), recompute: false, [])),
        [true] = new(() => Train(new SingleRank(), new ParallelSpec(), Config(tied: true), recompute: false, [])),
    };

    private static readonly Dictionary<string, LlamaConfig> Families = new(StringComparer.Ordinal)
    {
        ["qwen3"] = Config(tied: false) with { ModelType = "qwen3", HeadDim = 12 },
        ["qwen3, biased"] = Config(tied: true) with { ModelType = "qwen3", AttentionBias = true },
        ["qwen2, sliding"] = Config(tied: true) with { ModelType = "qwen2", UseSlidingWindow = true, SlidingWindow = 6, MaxWindowLayers = 2 },
        ["mistral"] = Config(tied: false) with { ModelType = "mistral", SlidingWindow = 5 },
        ["llama, dynamic"] = Config(tied: false) with { MaxPositionEmbeddings = 8, RopeScaling = JsonElement.Parse("""{"rope_type":"dynamic","factor":2}""") },
    };

    public static TheoryData<string, bool, bool> Matrix()
    {
        var matrix = new TheoryData<string, bool, bool>();
        foreach (string strategy in Strategies.Keys)
        {
            foreach (bool tied in new[] { false, true })
            {
                foreach (bool recompute in new[] { false, true })
                    matrix.Add(strategy, tied, recompute);
            }
        }

        return matrix;
    }

    [Theory]
    [MemberData(nameof(Matrix))]
    public void A_strategy_trains_the_model_that_one_rank_trains(string strategy, bool tied, bool recompute)
    {
        AssertTrainsTheSame(strategy, Config(tied), recompute, Reference[tied].Value);
    }

    [Theory]
    [InlineData("qwen3", "tp 2")]
    [InlineData("qwen3, biased", "tp 2 x dp 2 zero1")]
    [InlineData("qwen3, biased", "split_gather x dp 2 zero3")]
    [InlineData("qwen2, sliding", "tp 2 x pp 2")]
    [InlineData("mistral", "ring 2")]
    [InlineData("mistral", "all_to_all")]
    [InlineData("llama, dynamic", "ring 4")]
    public void A_strategy_trains_models_of_other_families_too(string family, string strategy) =>
        AssertTrainsTheSame(strategy, Families[family], recompute: false, Train(new SingleRank(), new ParallelSpec(), Families[family], recompute: false, []));

    [Theory]
    [MemberData(nameof(AllStrategies))]
    public void What_is_run_again_or_kept_in_host_memory_changes_nothing(string strategy)
    {
        (int ranks, ParallelSpec parallel) = Strategies[strategy];
        (StepResult[] Steps, long HostBytes)[] Run(ActivationSpec activations)
        {
            var all = new (StepResult[], long)[ranks];
            ThreadRanks.Run(ranks, collectives =>
            {
                EngineSpec spec = SmallRun.Spec with { MicroBatchRows = 1, Activations = activations, Parallel = parallel };
                using TrainingEngine engine = SmallRun.Engine(spec, Config(tied: false), collectives);
                StepResult[] steps = [.. Enumerable.Range(0, 3).Select(_ => engine.Step())];
                all[collectives.Rank] = (steps, engine.Memory.Lines.Where(l => l is { Class: MemoryClass.Activations, Place: MemoryPlace.Host }).Sum(l => l.PeakBytes));
            });
            return all;
        }

        (StepResult[] Steps, long)[] kept = Run(new ActivationSpec());
        // One by one over the strategies, and all of them on one rank.
        ActivationSpec[] options = [.. MemoryOptions.Where((_, i) => ranks == 1 || i == Array.IndexOf([.. Strategies.Keys], strategy) % MemoryOptions.Length)];
        foreach (ActivationSpec option in options)
        {
            (StepResult[] Steps, long HostBytes)[] again = Run(option);
            for (int rank = 0; rank < ranks; rank++)
            {
                SmallRun.AssertSame(kept[rank].Steps, again[rank].Steps, 1e-6);
                Assert.Equal(option.Offload, again[rank].HostBytes > 0);
            }
        }
    }

    public static TheoryData<string> AllStrategies() => [.. Strategies.Keys];

    private static LlamaConfig Config(bool tied) => SmallRun.Config with { TieWordEmbeddings = tied, NumHiddenLayers = 5 };

    private static void AssertTrainsTheSame(string strategy, LlamaConfig config, bool recompute, Trained expected)
    {
        (int ranks, ParallelSpec spec) = Strategies[strategy];
        var weights = new Dictionary<string, float[]>(StringComparer.Ordinal);
        var all = new Trained[ranks];
        ThreadRanks.Run(ranks, collectives => all[collectives.Rank] = Train(collectives, spec, config, recompute, weights));
        foreach (Trained rank in all)
            SmallRun.AssertSame(expected.Steps, rank.Steps);
        Assert.Equal(expected.Weights.Keys.Order(), weights.Keys.Order());
        foreach ((string name, float[] values) in expected.Weights)
            Assert.True(values.Zip(weights[name], (a, b) => Math.Abs(a - b)).Max() <= 1e-4f, $"{name} is {values.Zip(weights[name], (a, b) => Math.Abs(a - b)).Max()} apart");
    }

    // Chunks that divide neither blocks nor weights.
    private static ParallelSpec Gemini(GeminiSpec spec) => new() { Placement = StatePlacement.Gemini, Gemini = spec with { ChunkValues = 1500 } };

    private static ParallelSpec GeminiAuto(long budget) => Gemini(new GeminiSpec { Policy = GeminiPolicy.Auto, DeviceBudgetBytes = budget });

    private static Trained Train(ICollectives collectives, ParallelSpec parallel, LlamaConfig config, bool recompute, Dictionary<string, float[]> weights)
    {
        EngineSpec spec = SmallRun.Spec with { MicroBatchRows = 1, Activations = new ActivationSpec { Mode = recompute ? RecomputeMode.Full : RecomputeMode.None }, Parallel = parallel, HeadChunkTokens = 16 };
        using TrainingEngine engine = SmallRun.Engine(spec, config, collectives);
        StepResult[] steps = [.. Enumerable.Range(0, Steps).Select(_ => engine.Step())];
        foreach (StateSlice slice in engine.SavedState.Where(s => s.Kind == "weight"))
            SmallRun.Put(engine, slice, weights);
        return new Trained(steps, weights);
    }

    private sealed record Trained(StepResult[] Steps, Dictionary<string, float[]> Weights);
}
