using Drover.Formats.Adapters;
using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Collectives;
using Drover.Trainer.Parallelism;

namespace Drover.Trainer.Engine.Tests;

/// <summary>Every strategy trains the same adapters, with dropout and noise, and leaves the model's weights as they are.</summary>
public sealed class AdapterStrategyTests
{
    private const int Steps = 10;

    private static readonly Dictionary<string, LoraSpec> Specs = new(StringComparer.Ordinal)
    {
        // The new rows begin inside the part of the first of two ranks, so that the second has them and no others.
        ["lora"] = new() { Rank = 4, Alpha = 8, Dropout = 0.1, RankStabilized = true, TokenRowsFrom = 40, ModulesToSave = ["norm", "post_attention_layernorm"] },
        ["dora"] = new() { Rank = 3, Dora = true, Dropout = 0.1, TokenRowsFrom = 90 },
        ["some, head whole"] = new() { Rank = 4, Dora = true, Targets = ["k_proj", "down_proj"], ModulesToSave = ["lm_head"] },
    };

    internal static readonly Dictionary<string, (int Ranks, ParallelSpec Spec)> Strategies = new(StringComparer.Ordinal)
    {
        ["ddp 2"] = (2, new ParallelSpec()),
        ["zero1"] = (2, new ParallelSpec { Placement = StatePlacement.Zero1 }),
        ["zero2"] = (2, new ParallelSpec { Placement = StatePlacement.Zero2 }),
        ["zero3"] = (2, new ParallelSpec { Placement = StatePlacement.Zero3 }),
        ["zero3 offload"] = (2, new ParallelSpec { Placement = StatePlacement.Zero3, OffloadOptimizer = true, OffloadWeights = true }),
        ["gemini"] = (2, new ParallelSpec { Placement = StatePlacement.Gemini, Gemini = new GeminiSpec { ChunkValues = 1500, OffloadWeightsFraction = 0.5, OffloadOptimizerFraction = 0.5 } }),
        ["gemini auto x tp 2"] = (2, new ParallelSpec { TensorParallel = 2, Placement = StatePlacement.Gemini, Gemini = new GeminiSpec { ChunkValues = 1500, Policy = GeminiPolicy.Auto, DeviceBudgetBytes = 400_000 } }),
        ["tp 2"] = (2, new ParallelSpec { TensorParallel = 2 }),
        ["pp 2"] = (2, new ParallelSpec { PipelineParallel = 2 }),
        ["tp 2 x pp 2"] = (4, new ParallelSpec { TensorParallel = 2, PipelineParallel = 2 }),
        ["split_gather"] = (2, new ParallelSpec { TensorParallel = 2, SequenceMode = SequenceMode.SplitGather }),
        ["split_gather x dp 2 zero3"] = (4, new ParallelSpec { TensorParallel = 2, SequenceMode = SequenceMode.SplitGather, Placement = StatePlacement.Zero3 }),
        ["ring 2"] = (2, new ParallelSpec { SequenceParallel = 2, SequenceMode = SequenceMode.Ring }),
        ["all_to_all"] = (2, new ParallelSpec { SequenceParallel = 2, SequenceMode = SequenceMode.AllToAll }),
    };

    private static readonly Dictionary<string, Lazy<Trained>> Reference = Specs.Keys.SelectMany(s => new[] { false, true }.Select(t => (Spec: s, Tied: t)))
        .ToDictionary(c => $"{c.Spec} {c.Tied}", c => new Lazy<Trained>(() => Train(new SingleRank(), new ParallelSpec(), c.Spec, c.Tied, false, [])), StringComparer.Ordinal);

    public static TheoryData<string, string, bool, bool> Matrix()
    {
        var matrix = new TheoryData<string, string, bool, bool>();
        foreach (string strategy in Strategies.Keys)
        {
            matrix.Add(strategy, "lora", true, false);
            matrix.Add(strategy, "dora", false, true);
        }

        matrix.Add("tp 2", "some, head whole", false, false);
        matrix.Add("split_gather x dp 2 zero3", "some, head whole", false, false);
        matrix.Add("tp 2 x pp 2", "lora", false, true);
        return matrix;
    }

    [Theory]
    [MemberData(nameof(Matrix))]
    public void A_strategy_trains_the_adapters_that_one_rank_trains(string strategy, string lora, bool tied, bool recompute)
    {
        (int ranks, ParallelSpec parallel) = Strategies[strategy];
        Trained expected = Reference[$"{lora} {tied}"].Value;
        var weights = new Dictionary<string, float[]>(StringComparer.Ordinal);
        var all = new Trained[ranks];
        ThreadRanks.Run(ranks, collectives => all[collectives.Rank] = Train(collectives, parallel, lora, tied, recompute, weights));
        foreach ((StepResult one, StepResult many) in all.SelectMany(rank => expected.Steps.Zip(rank.Steps)))
        {
            Assert.Equal(one.Loss, many.Loss, 1e-5 * one.Loss);
            // B begins at zero, where AdamW's first steps are those of signs: the rounding of small gradients shows.
            Assert.Equal(one.GradNorm, many.GradNorm, 1e-4 * one.GradNorm);
        }

        // Nothing but what is trained is saved, and that by one rank.
        Assert.Equal(AdapterTensors.All(Specs[lora], Config(tied)).Select(t => t.Name).Order(), weights.Keys.Order());
        Assert.Equal(expected.Weights.Keys.Order(), weights.Keys.Order());
        foreach ((string name, float[] values) in expected.Weights)
            Assert.True(values.Zip(weights[name], (a, b) => Math.Abs(a - b)).Max() <= 1e-3f, $"{name} is {values.Zip(weights[name], (a, b) => Math.Abs(a - b)).Max()} apart");
    }

    [Fact]
    public void Adapters_learn()
    {
        StepResult[] steps = Reference["lora False"].Value.Steps;
        Assert.True(steps[^1].Loss < steps[0].Loss - 0.02, $"from {steps[0].Loss} to {steps[^1].Loss}");
    }

    private static LlamaConfig Config(bool tied) => SmallRun.Config with { TieWordEmbeddings = tied, NumHiddenLayers = 3 };

    private static Trained Train(ICollectives collectives, ParallelSpec parallel, string lora, bool tied, bool recompute, Dictionary<string, float[]> weights)
    {
        EngineSpec spec = SmallRun.Spec with { MicroBatchRows = 1, Activations = recompute ? new ActivationSpec { Mode = RecomputeMode.Attention } : new ActivationSpec(), Parallel = parallel, HeadChunkTokens = 16, Lora = Specs[lora], NeftuneAlpha = 5, Optimizer = new AdamWSpec { LearningRate = 1e-2 } };
        using TrainingEngine engine = SmallRun.Engine(spec, Config(tied), collectives);
        StepResult[] steps = [.. Enumerable.Range(0, Steps).Select(_ => engine.Step())];
        foreach (StateSlice slice in engine.SavedState.Where(s => s.Kind == LogicalTensor.Weight))
            SmallRun.Put(engine, slice, weights);
        return new Trained(steps, weights);
    }

    private sealed record Trained(StepResult[] Steps, Dictionary<string, float[]> Weights);
}
