using System.Text.Json;
using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.Trainer.Collectives;
using Drover.Trainer.Model;

namespace Drover.Trainer.Engine.Tests;

/// <summary>fp16: the loss scale against torch's GradScaler (tests/goldens/loss_scale.py wrote the file), and training with it.</summary>
public sealed class LossScaleTests
{
    private static readonly JsonSerializerOptions Names = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    // 2^26: the first gradients overflow, and the scale has to come down before anything is learned.
    private static readonly EngineSpec TooHigh = SmallRun.Spec with { Precision = Precision.Fp16, MicroBatchRows = 2, LossScale = new LossScaleSpec { Initial = 1 << 26, GrowthInterval = 6 } };

    [Fact]
    public void The_scale_grows_and_backs_off_as_GradScaler_does()
    {
        Golden golden = JsonSerializer.Deserialize<Golden>(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "loss_scale.golden.json")), Names)!;
        LossScaleState state = golden.Options.Start;
        foreach (GoldenStep step in golden.Steps)
        {
            state = golden.Options.After(state, step.Finite);
            Assert.Equal((step.Scale, step.GoodSteps), (state.Scale, state.GoodSteps));
        }

        Assert.Equal(golden.Steps.Count(s => !s.Finite), state.SkippedSteps);
        Assert.InRange(state.SkippedSteps, 1, golden.Steps.Length - 1);
    }

    [Fact]
    public void Fp16_follows_fp32()
    {
        StepResult[] full = SmallRun.Run(SmallRun.Spec), half = SmallRun.Run(SmallRun.Spec with { Precision = Precision.Fp16 });
        Assert.All(full.Zip(half), p => Assert.True(Math.Abs(p.First.Loss - p.Second.Loss) < 0.002 * p.First.Loss, $"step {p.First.Step}: {p.First.Loss} against {p.Second.Loss}"));
        Assert.All(full.Zip(half), p => Assert.True(Math.Abs(p.First.GradNorm - p.Second.GradNorm) < 0.02 * p.First.GradNorm, $"step {p.First.Step}: norm {p.First.GradNorm} against {p.Second.GradNorm}"));
        Assert.All(half, s => Assert.Equal((65536, 0), (s.LossScale, s.SkippedSteps)));
    }

    [Fact]
    public void A_step_with_gradients_that_are_not_finite_changes_nothing_but_the_scale()
    {
        using TrainingEngine engine = SmallRun.Engine(TooHigh, SmallRun.Config);
        Dictionary<StateSlice, float[]> before = StateOf(engine);
        StepResult step = engine.Step();
        Assert.False(double.IsFinite(step.GradNorm));
        Assert.Equal((1L, 1L, (double)(1 << 26)), (step.Step, step.SkippedSteps, step.LossScale));
        Assert.Equal(new LossScaleState(1 << 25, 0, 1), engine.LossScale);
        Assert.All(StateOf(engine), pair => Assert.Equal(before[pair.Key], pair.Value));
    }

    [Fact]
    public void The_optimizer_counts_the_steps_that_were_not_skipped()
    {
        // The first update after skipped steps is what the first update of a run is: its moments are corrected as those of step 1.
        using TrainingEngine engine = SmallRun.Engine(TooHigh with { Schedule = new ScheduleSpec { Kind = ScheduleKind.Constant, TotalSteps = 40 }, Optimizer = SmallRun.Spec.Optimizer with { WeightDecay = 0 } }, SmallRun.Config);
        Dictionary<StateSlice, float[]> before = StateOf(engine);
        while (!double.IsFinite(engine.Step().GradNorm))
        {
        }

        Assert.InRange(engine.StepsDone, 2, 30);
        // AdamW's first update moves a weight by the learning rate, whatever its gradient is.
        float[] moved = [.. StateOf(engine).Where(p => p.Key.Kind == LogicalTensor.Weight).SelectMany(p => p.Value.Zip(before[p.Key], (a, b) => Math.Abs(a - b)))];
        Assert.InRange(moved.Max(), 0.99f * 3e-3f, 1.01f * 3e-3f);
    }

    [Fact]
    public void A_scale_that_has_to_go_below_1_ends_the_run()
    {
        using TrainingEngine engine = SmallRun.Engine(TooHigh with { LossScale = new LossScaleSpec { Initial = 1 << 30, BackoffFactor = 1e-10 } }, SmallRun.Config);
        DroverException e = Assert.Throws<DroverException>(engine.Step);
        Assert.Equal("NOT_FINITE", e.Reason);
        Assert.Contains("train in bf16", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_state_in_fp16_goes_on_bit_for_bit_with_its_scale()
    {
        StepResult[] undisturbed = SmallRun.Run(TooHigh);
        Assert.InRange(undisturbed[9].SkippedSteps, 1, 9);
        var saved = new Dictionary<(string, string), float[]>();
        LossScaleState? scale;
        using (TrainingEngine first = SmallRun.Engine(TooHigh, SmallRun.Config))
        {
            for (int i = 0; i < 10; i++)
                first.Step();
            scale = first.LossScale;
            foreach ((StateSlice slice, float[] values) in StateOf(first))
                saved[(slice.Kind, slice.Name)] = values;
        }

        using TrainingEngine second = SmallRun.Engine(TooHigh, SmallRun.Config);
        second.LoadState(10, (slice, values) => saved[(slice.Kind, slice.Name)].CopyTo(values), scale);
        StepResult[] rest = [.. Enumerable.Range(0, 10).Select(_ => second.Step())];
        Assert.Equal(undisturbed[10..].Select(s => (s.Loss, s.LossScale, s.SkippedSteps)), rest.Select(s => (s.Loss, s.LossScale, s.SkippedSteps)));
    }

    public static TheoryData<int, ParallelSpec> Layouts() => new()
    {
        { 2, new ParallelSpec { Placement = StatePlacement.Zero2 } },
        { 4, new ParallelSpec { TensorParallel = 2, PipelineParallel = 2 } },
        { 2, new ParallelSpec { SequenceParallel = 2, SequenceMode = SequenceMode.Ring } },
        { 2, new ParallelSpec { TensorParallel = 2, SequenceMode = SequenceMode.SplitGather } },
        { 2, new ParallelSpec { Placement = StatePlacement.Gemini, Gemini = new GeminiSpec { ChunkValues = 1500, Policy = GeminiPolicy.Auto, DeviceBudgetBytes = 400_000 } } },
    };

    // Tolerance: 0.1 % of the loss. fp16 rounds to 11 bits; layouts round other partial sums. The scale is of the whole run: exactly equal.
    [Theory]
    [MemberData(nameof(Layouts))]
    public void Layouts_agree_in_fp16_within_a_thousandth_and_skip_the_same_steps(int ranks, ParallelSpec layout)
    {
        StepResult[] one = SmallRun.Run(TooHigh);
        Assert.InRange(one[^1].SkippedSteps, 1, 10);
        var all = new StepResult[ranks][];
        ThreadRanks.Run(ranks, collectives => all[collectives.Rank] = SmallRun.Run(TooHigh with { Parallel = layout }, collectives: collectives));
        foreach (StepResult[] rank in all)
        {
            Assert.Equal(one.Select(s => (s.LossScale, s.SkippedSteps)), rank.Select(s => (s.LossScale, s.SkippedSteps)));
            Assert.All(one.Zip(rank), p => Assert.True(Math.Abs(p.First.Loss - p.Second.Loss) < 0.001 * p.First.Loss, $"step {p.First.Step}: {p.First.Loss} against {p.Second.Loss}"));
        }
    }

    private static Dictionary<StateSlice, float[]> StateOf(TrainingEngine engine) => engine.State.ToDictionary(s => s, s =>
    {
        float[] values = new float[s.Count];
        engine.CopyState(s, values);
        return values;
    });

    private sealed record Golden(LossScaleSpec Options, GoldenStep[] Steps);

    private sealed record GoldenStep(bool Finite, double Scale, long GoodSteps);
}
