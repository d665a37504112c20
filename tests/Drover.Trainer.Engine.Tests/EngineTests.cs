using Drover.Errors;
using Drover.Formats.Datasets;
using Drover.Trainer.Collectives;
using Drover.Trainer.Model;
using TorchSharp;

namespace Drover.Trainer.Engine.Tests;

public class EngineTests
{
    [Fact]
    public void Loss_falls_and_starts_near_the_logarithm_of_the_vocabulary()
    {
        var memorise = new RandomRows(8, 24, SmallRun.Config.VocabSize, seed: 4);
        using TrainingEngine engine = SmallRun.Engine(SmallRun.Spec with { Schedule = new ScheduleSpec { TotalSteps = 60, WarmupSteps = 3 } }, SmallRun.Config, rows: memorise);
        StepResult[] steps = [.. Enumerable.Range(0, 60).Select(_ => engine.Step())];
        Assert.InRange(steps[0].Loss, Math.Log(97) - 0.5, Math.Log(97) + 0.5);
        Assert.True(steps[^1].Loss < steps[0].Loss / 2, $"{steps[0]} to {steps[^1]}");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Recompute_changes_nothing(bool tied)
    {
        var config = SmallRun.Config with { TieWordEmbeddings = tied };
        SmallRun.AssertSame(SmallRun.Run(SmallRun.Spec, config), SmallRun.Run(SmallRun.Spec with { Activations = ActivationSpec.Recomputed }, config));
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(7, false)]
    [InlineData(16, true)]
    [InlineData(1000, true)]
    public void Slices_of_the_head_change_nothing(int tokens, bool tied)
    {
        var config = SmallRun.Config with { TieWordEmbeddings = tied };
        SmallRun.AssertSame(SmallRun.Run(SmallRun.Spec, config), SmallRun.Run(SmallRun.Spec with { HeadChunkTokens = tokens }, config));
    }

    [Fact]
    public void Accumulating_micro_batches_with_unequal_labels_equals_one_batch()
    {
        StepResult[] whole = SmallRun.Run(SmallRun.Spec with { MicroBatchRows = 8 });
        SmallRun.AssertSame(whole, SmallRun.Run(SmallRun.Spec with { MicroBatchRows = 2 }));
        SmallRun.AssertSame(whole, SmallRun.Run(SmallRun.Spec with { MicroBatchRows = 1 }));
    }

    [Theory]
    [InlineData(2)]
    [InlineData(4)]
    public void Ranks_give_the_losses_of_one(int ranks)
    {
        EngineSpec spec = SmallRun.Spec with { MicroBatchRows = 2 };
        StepResult[] one = SmallRun.Run(spec);
        var all = new StepResult[ranks][];
        ThreadRanks.Run(ranks, collectives => all[collectives.Rank] = SmallRun.Run(spec, collectives: collectives));
        foreach (StepResult[] rank in all)
            SmallRun.AssertSame(one, rank);
    }

    [Fact]
    public void Bf16_follows_fp32()
    {
        StepResult[] full = SmallRun.Run(SmallRun.Spec), half = SmallRun.Run(SmallRun.Spec with { Precision = Precision.Bf16 });
        Assert.All(full.Zip(half), p => Assert.True(Math.Abs(p.First.Loss - p.Second.Loss) < 0.02 * p.First.Loss, $"step {p.First.Step}: {p.First.Loss} against {p.Second.Loss}"));
    }

    public static TheoryData<int, ParallelSpec> Bf16Layouts() => new()
    {
        { 2, new ParallelSpec { Placement = StatePlacement.Zero2 } },
        { 2, new ParallelSpec { Placement = StatePlacement.Zero3 } },
        { 4, new ParallelSpec { TensorParallel = 2, PipelineParallel = 2 } },
        { 2, new ParallelSpec { TensorParallel = 2, SequenceMode = SequenceMode.SplitGather } },
        { 2, new ParallelSpec { SequenceParallel = 2, SequenceMode = SequenceMode.Ring } },
        { 2, new ParallelSpec { SequenceParallel = 2, SequenceMode = SequenceMode.AllToAll } },
    };

    // Tolerance: 0.5 % of the loss. bf16 rounds activations to 8 bits; layouts round other partial sums.
    [Theory]
    [MemberData(nameof(Bf16Layouts))]
    public void Layouts_agree_in_bf16_within_half_a_percent(int ranks, ParallelSpec layout)
    {
        EngineSpec spec = SmallRun.Spec with { Precision = Precision.Bf16, MicroBatchRows = 2 };
        StepResult[] one = SmallRun.Run(spec);
        var all = new StepResult[ranks][];
        ThreadRanks.Run(ranks, collectives => all[collectives.Rank] = SmallRun.Run(spec with { Parallel = layout }, collectives: collectives));
        Assert.All(one.Zip(all[0]), p => Assert.True(Math.Abs(p.First.Loss - p.Second.Loss) < 0.005 * p.First.Loss, $"step {p.First.Step}: {p.First.Loss} against {p.Second.Loss}"));
    }

    [Fact]
    public void A_document_does_not_see_its_neighbours_in_the_row()
    {
        using var model = new LanguageModel(SmallRun.Config, Precision.Fp32, threads: 1);
        model.InitializeWeights(11);
        int[] a = [5, 6, 7, 8], other = [50, 60, 70, 80], b = [9, 10, 11];
        double LossOfB(int[] before)
        {
            int[] labels = [.. before.Select(_ => PackedRow.Ignored), PackedRow.Ignored, .. b[1..]];
            return model.Evaluate(new OneRow(new PackedRow([.. before, .. b], labels, [before.Length, b.Length])), 1).LossSum;
        }

        Assert.Equal(LossOfB(a), LossOfB(other), 6);
        // And is not blind: within one document it does see them.
        double AsOne(int[] before) => model.Evaluate(new OneRow(new PackedRow([.. before, .. b], [.. before.Select(_ => PackedRow.Ignored), .. b], [before.Length + b.Length])), 1).LossSum;
        Assert.NotEqual(AsOne(a), AsOne(other), 3);
    }

    [Theory]
    [InlineData(Precision.Fp32)]
    [InlineData(Precision.Bf16)]
    public void A_state_saved_and_loaded_goes_on_bit_for_bit(Precision precision)
    {
        EngineSpec spec = SmallRun.Spec with { Precision = precision };
        StepResult[] undisturbed = SmallRun.Run(spec, steps: 14);
        Dictionary<(string Kind, string Name), float[]> saved;
        using (TrainingEngine first = SmallRun.Engine(spec, SmallRun.Config))
        {
            for (int i = 0; i < 7; i++)
                first.Step();
            saved = SmallRun.StateOf(first);
        }

        using TrainingEngine second = SmallRun.Engine(spec, SmallRun.Config);
        second.LoadState(7, (tensor, values) => saved[(tensor.Kind, tensor.Name)].CopyTo(values));
        double[] rest = [.. Enumerable.Range(0, 7).Select(_ => second.Step().Loss)];
        Assert.Equal(undisturbed[7..].Select(s => s.Loss), rest);
    }

    [Fact]
    public void A_step_leaves_no_tensor_behind()
    {
        using TrainingEngine engine = SmallRun.Engine(SmallRun.Spec with { Activations = ActivationSpec.Recomputed, HeadChunkTokens = 16 }, SmallRun.Config);
        engine.Step();
        long before = DisposeScopeManager.Statistics.ThreadTotalLiveCount;
        for (int i = 0; i < 3; i++)
            engine.Step();
        Assert.Equal(before, DisposeScopeManager.Statistics.ThreadTotalLiveCount);
    }

    [Fact]
    public void An_id_outside_the_vocabulary_is_refused_by_name()
    {
        var rows = new OneRow(new PackedRow([1, 200, 3], [PackedRow.Ignored, 200, 3], [3]));
        using TrainingEngine engine = SmallRun.Engine(SmallRun.Spec with { GlobalBatchRows = 1, MicroBatchRows = 1 }, SmallRun.Config, rows: rows);
        DroverException e = Assert.Throws<DroverException>(engine.Step);
        Assert.Equal("VOCABULARY_MISMATCH", e.Reason);
        Assert.Contains("200", e.Message, StringComparison.Ordinal);
    }

    private sealed class OneRow(PackedRow row) : IRowSource
    {
        public long RowCount => 1;

        public int MaxLength => row.InputIds.Length;

        public PackedRow Read(long rowId) => row;
    }
}
