using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Collectives;

namespace Drover.Trainer.Engine.Tests;

/// <summary>Frozen weights and learning rates of their own.</summary>
public sealed class WeightRateTests
{
    // Whole blocks, parts of products that are done together, norms, one of two ends: all that can be frozen by itself.
    private static readonly WeightRates Mixed = new()
    {
        Frozen = ["model.layers.0.*", "model.layers.1.self_attn.q_proj.weight", "model.layers.1.mlp.down_proj.weight", "model.layers.2.input_layernorm.weight"],
        Groups = [new WeightRate("model.embed_tokens.weight", 0.1), new WeightRate("model.layers.*.k_proj.*", 3), new WeightRate("*norm.weight", 0.5)],
    };

    private static readonly EngineSpec Spec = SmallRun.Spec with { MicroBatchRows = 2 };

    [Fact]
    public void Frozen_weights_do_not_move_by_a_bit_and_all_others_do()
    {
        using TrainingEngine engine = SmallRun.Engine(Spec with { Rates = Mixed }, SmallRun.Config);
        Dictionary<(string Kind, string Name), float[]> before = StateOf(engine);
        for (int i = 0; i < 3; i++)
            engine.Step();
        foreach (((string kind, string name), float[] values) in StateOf(engine))
        {
            bool isFrozen = name.StartsWith("model.layers.0.", StringComparison.Ordinal) || Mixed.Frozen.Contains(name);
            Assert.True(isFrozen == values.AsSpan().SequenceEqual(before[(kind, name)]), $"{kind} of {name}");
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void The_embeddings_only_stage_moves_the_embeddings_alone(bool tied)
    {
        using TrainingEngine engine = SmallRun.Engine(Spec with { Rates = new WeightRates { EmbeddingsOnly = true } }, SmallRun.Config with { TieWordEmbeddings = tied });
        Dictionary<(string Kind, string Name), float[]> before = StateOf(engine);
        double first = engine.Step().Loss;
        for (int i = 0; i < 12; i++)
            engine.Step();
        Assert.Equal(
            tied ? [LlamaTensors.Embedding] : new[] { LlamaTensors.Head, LlamaTensors.Embedding },
            StateOf(engine).Where(p => p.Key.Kind == LogicalTensor.Weight && !p.Value.AsSpan().SequenceEqual(before[p.Key])).Select(p => p.Key.Name).Order(StringComparer.Ordinal));
        Assert.True(engine.Step().Loss < first);
    }

    [Fact]
    public void A_weight_moves_by_its_factor_of_the_learning_rate()
    {
        float[] Moved(WeightRates rates, string name)
        {
            using TrainingEngine engine = SmallRun.Engine(Spec with { Rates = rates, Schedule = new ScheduleSpec { Kind = ScheduleKind.Constant, TotalSteps = 5 } }, SmallRun.Config);
            float[] before = StateOf(engine)[(LogicalTensor.Weight, name)];
            engine.Step();
            return [.. StateOf(engine)[(LogicalTensor.Weight, name)].Zip(before, (a, b) => a - b)];
        }

        foreach ((string name, float factor) in new[] { (LlamaTensors.Embedding, 0.1f), ("model.layers.1.self_attn.k_proj.weight", 3f), ("model.layers.1.self_attn.v_proj.weight", 1f), (LlamaTensors.FinalNorm, 0.5f) })
        {
            float[] usual = Moved(new WeightRates(), name), own = Moved(Mixed with { Frozen = [] }, name);
            Assert.True(usual.Max(Math.Abs) > 1e-3f);
            Assert.True(usual.Zip(own, (a, b) => Math.Abs((a * factor) - b)).Max() < 2e-6f, name);
        }
    }

    [Fact]
    public void The_gradient_norm_is_of_the_trained_weights()
    {
        // Of each single weight alone; their squares add up to that of all.
        string[] patterns = ["model.embed_tokens.weight", "lm_head.weight", "model.layers.*.q_proj.weight", "*layernorm.weight"];
        string[] names = [.. LlamaTensors.All(SmallRun.Config).Select(w => w.Name)];
        double Norm(Func<string, bool> trained)
        {
            using TrainingEngine engine = SmallRun.Engine(Spec with { Rates = new WeightRates { Frozen = [.. names.Where(n => !trained(n))] } }, SmallRun.Config);
            return engine.Step().GradNorm;
        }

        bool IsOf(string name, string pattern) => new WeightRates { Frozen = [pattern] }.FactorOf(name) == 0;
        double rest = Norm(n => !patterns.Any(p => IsOf(n, p))), all = Norm(_ => true);
        double squares = (rest * rest) + patterns.Sum(p => Math.Pow(Norm(n => IsOf(n, p)), 2));
        Assert.Equal(all, Math.Sqrt(squares), all * 1e-5);
    }

    public static TheoryData<int, ParallelSpec, bool> Layouts() => new()
    {
        { 2, new ParallelSpec(), false },
        { 2, new ParallelSpec { Placement = StatePlacement.Zero1 }, false },
        { 2, new ParallelSpec { Placement = StatePlacement.Zero3, OffloadOptimizer = true }, false },
        { 4, new ParallelSpec { TensorParallel = 2, SequenceMode = SequenceMode.SplitGather, Placement = StatePlacement.Zero2 }, false },
        { 4, new ParallelSpec { TensorParallel = 2, PipelineParallel = 2 }, true },
        { 2, new ParallelSpec { SequenceParallel = 2, SequenceMode = SequenceMode.Ring }, true },
        { 2, new ParallelSpec { Placement = StatePlacement.Gemini, Gemini = new GeminiSpec { ChunkValues = 1500 } }, false },
    };

    [Theory]
    [MemberData(nameof(Layouts))]
    public void Every_layout_freezes_and_trains_the_same(int ranks, ParallelSpec layout, bool tied)
    {
        EngineSpec spec = Spec with { Rates = Mixed, MicroBatchRows = 1 };
        LlamaConfig config = SmallRun.Config with { TieWordEmbeddings = tied };
        StepResult[] one = SmallRun.Run(spec, config);
        var all = new StepResult[ranks][];
        ThreadRanks.Run(ranks, collectives => all[collectives.Rank] = SmallRun.Run(spec with { Parallel = layout }, config, collectives: collectives));
        foreach (StepResult[] rank in all)
            SmallRun.AssertSame(one, rank);
    }

    [Theory]
    [InlineData("model.layers.9.*", 1, "matches no weight")]
    [InlineData("model.layers", 1, "matches no weight")]
    [InlineData("*", 1, "every weight is frozen")]
    [InlineData("lm_head.weight", 0, "factor of '*' is 0")]
    public void A_pattern_that_means_nothing_is_refused(string frozen, double factor, string why) =>
        Assert.Contains(new WeightRates { Frozen = [frozen], Groups = [new WeightRate("*", factor)] }.Problems(SmallRun.Config), p => p.Contains(why, StringComparison.Ordinal));

    private static Dictionary<(string Kind, string Name), float[]> StateOf(TrainingEngine engine) => engine.State.ToDictionary(s => (s.Kind, s.Name), s =>
    {
        float[] values = new float[s.Count];
        engine.CopyState(s, values);
        return values;
    });
}
