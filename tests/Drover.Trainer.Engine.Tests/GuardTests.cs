using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.Formats.Datasets;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Collectives;

namespace Drover.Trainer.Engine.Tests;

/// <summary>Losses that are not finite and spikes: what is done about them, and which rows are named.</summary>
public class GuardTests
{
    private const int BadToken = 96;
    private const long BadRow = 17;
    private static readonly LlamaConfig Config = SmallRun.Config with { NumHiddenLayers = 5 };

    [Theory]
    [InlineData("ddp 2")]
    [InlineData("zero2")]
    [InlineData("zero3 offload")]
    [InlineData("tp 2 x pp 2")]
    [InlineData("pp 2 interleaved")]
    [InlineData("ring 2 x tp 2")]
    [InlineData("gemini auto")]
    public void A_step_that_is_not_finite_is_skipped_and_its_row_named_on_every_layout(string strategy)
    {
        (int ranks, ParallelSpec parallel) = StrategyEquivalenceTests.Strategies[strategy];
        StepResult[] expected = Run(new SingleRank(), new ParallelSpec(), AnomalyAction.Skip);
        Assert.Equal(1, expected.Count(s => s.Anomaly is not null));
        StepResult bad = expected.Single(s => s.Anomaly is not null);
        Assert.True(double.IsNaN(bad.Loss));
        Assert.Contains($"the loss is not finite in the micro-batch of row {BadRow} ", bad.Anomaly!.Message, StringComparison.Ordinal);
        Assert.Contains(BadRow, bad.Anomaly.RowIds);
        Assert.Equal(SmallRun.Spec.GlobalBatchRows, bad.Anomaly.RowIds.Count);

        var all = new StepResult[ranks][];
        ThreadRanks.Run(ranks, collectives => all[collectives.Rank] = Run(collectives, parallel, AnomalyAction.Skip));
        foreach (StepResult[] rank in all)
        {
            Assert.Equal(expected.Select(s => (s.Step, s.SkippedSteps, s.Anomaly?.Message)), rank.Select(s => (s.Step, s.SkippedSteps, s.Anomaly?.Message)));
            SmallRun.AssertSame([.. expected.Where(s => s != bad)], [.. rank.Where(s => s.Step != bad.Step)]);
        }
    }

    [Fact]
    public void By_default_a_step_that_is_not_finite_stops_the_run_and_leaves_the_weights()
    {
        using TrainingEngine engine = Engine(new SingleRank(), SmallRun.Spec with { MicroBatchRows = 1 });
        engine.PlaceOfRow = row => $"line {row} of a file";
        float[] before = [];
        void Run()
        {
            while (engine.StepsDone < 6)
            {
                before = Weights(engine);
                engine.Step();
            }
        }

        DroverException e = Assert.Throws<DroverException>(Run);
        Assert.Equal("NOT_FINITE", e.Reason);
        Assert.Contains($"row {BadRow} (line {BadRow} of a file)", e.Message, StringComparison.Ordinal);
        Assert.Equal(before, Weights(engine));
    }

    [Fact]
    public void A_skipped_update_is_no_step_of_the_optimizer()
    {
        // What was learned without the bad step: the same as with it left out, but for the learning rate, which is constant here.
        EngineSpec spec = Spec(AnomalyAction.Skip) with { Schedule = new ScheduleSpec { Kind = ScheduleKind.Constant, TotalSteps = 10 } };
        using TrainingEngine skipped = Engine(new SingleRank(), spec), passed = Engine(new SingleRank(), spec);
        StepResult step;
        do
            step = skipped.Step();
        while (step.Anomaly is null);
        for (long s = 1; s < step.Step; s++)
            passed.Step();
        passed.SkipToBatch(step.Step);
        StepResult expected = passed.Step(), actual = skipped.Step();
        Assert.Equal((expected.Loss, expected.GradNorm), (actual.Loss, actual.GradNorm));
        Assert.Equal(Weights(passed), Weights(skipped));
    }

    [Fact]
    public void Rolling_back_leaves_the_step_undone_and_goes_on_with_the_rows_after_it()
    {
        using TrainingEngine engine = Engine(new SingleRank(), Spec(AnomalyAction.Rollback));
        StepResult step;
        do
            step = engine.Step();
        while (step.Anomaly is null);
        Assert.Equal(step.Step - 1, engine.StepsDone);
        Assert.Equal(step.Step, step.Anomaly.NextBatch);
        engine.SkipToBatch(step.Anomaly.NextBatch);
        StepResult after = engine.Step();
        Assert.Equal((step.Step, null), (after.Step, after.Anomaly));
        Assert.Equal(1, engine.Guard.SkippedBatches);
    }

    [Fact]
    public void Too_many_skips_in_a_row_end_the_run()
    {
        EngineSpec spec = Spec(AnomalyAction.Skip) with { Guard = new GuardSpec { OnNotFinite = AnomalyAction.Skip, MaxSkipsInRow = 2 } };
        using TrainingEngine engine = SmallRun.Engine(spec, Config);
        engine.LoadWeights((_, values) => values.Fill(float.NaN));
        engine.Step();
        engine.Step();
        DroverException e = Assert.Throws<DroverException>(engine.Step);
        Assert.Contains("2 updates before it were skipped in a row", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(AnomalyAction.Warn, 0)]
    [InlineData(AnomalyAction.Skip, 1)]
    public void A_spike_is_told_with_its_rows_and_treated_alike_after_a_resume(AnomalyAction action, int skipped)
    {
        EngineSpec spec = SmallRun.Spec with
        {
            MicroBatchRows = 1,
            Optimizer = SmallRun.Spec.Optimizer with { LearningRate = 0.01 },
            Guard = new GuardSpec { OnSpike = action, WindowSteps = 32, Deviations = 8 },
            Schedule = new ScheduleSpec { Kind = ScheduleKind.Constant, TotalSteps = 100, WarmupSteps = 3 },
        };
        var rows = new EasyRows(odd: 300);
        using TrainingEngine whole = SmallRun.Engine(spec, SmallRun.Config, rows: rows);
        var expected = new List<StepResult>();
        // The odd row is one of step 49.
        while (expected.Count < 52)
            expected.Add(whole.Step());
        StepResult spike = expected.Single(s => s.Anomaly is not null);
        Assert.Contains("row 300 ", spike.Anomaly!.Message, StringComparison.Ordinal);
        Assert.Equal(skipped, expected[^1].SkippedSteps);

        // Stopped two steps before it, with what the guard knows as a checkpoint keeps it.
        using TrainingEngine first = SmallRun.Engine(spec, SmallRun.Config, rows: rows), second = SmallRun.Engine(spec, SmallRun.Config, rows: rows);
        for (long s = 1; s < spike.Step - 1; s++)
            first.Step();
        Dictionary<(string Kind, string Name), float[]> kept = SmallRun.StateOf(first);
        second.LoadState(first.StepsDone, (slice, values) => kept[(slice.Kind, slice.Name)].CopyTo(values), null, first.Guard);
        foreach (StepResult step in expected.Skip((int)first.StepsDone))
        {
            StepResult again = second.Step();
            Assert.Equal((step.Loss, step.GradNorm, step.SkippedSteps, step.Anomaly?.Message), (again.Loss, again.GradNorm, again.SkippedSteps, again.Anomaly?.Message));
        }
    }

    private static EngineSpec Spec(AnomalyAction action) => SmallRun.Spec with { MicroBatchRows = 1, HeadChunkTokens = 16, Guard = new GuardSpec { OnNotFinite = action } };

    private static StepResult[] Run(ICollectives collectives, ParallelSpec parallel, AnomalyAction action)
    {
        using TrainingEngine engine = Engine(collectives, Spec(action) with { Parallel = parallel });
        return [.. Enumerable.Range(0, 5).Select(_ => engine.Step())];
    }

    // A token with an embedding that is not finite, in one row of all.
    private static TrainingEngine Engine(ICollectives collectives, EngineSpec spec)
    {
        var engine = new TrainingEngine(spec, Config, collectives, new OneBadRow(new RandomRows(40, 24, Config.VocabSize - 1, seed: 3)));
        engine.LoadWeights((slice, values) =>
        {
            LanguageModel.FillRandom(Config, slice, values, 11);
            if (slice.Name != LlamaTensors.Embedding)
                return;
            long row = BadToken - slice.Offset[0];
            int columns = (int)slice.Shape[1];
            if (row >= 0 && row < slice.Shape[0])
                values.Slice((int)row * columns, columns).Fill(float.NaN);
        });
        return engine;
    }

    private static float[] Weights(TrainingEngine engine)
    {
        StateSlice slice = engine.State.First(s => s.Kind == LogicalTensor.Weight && s.Name == LlamaTensors.Head);
        float[] values = new float[slice.Count];
        engine.CopyState(slice, values);
        return values;
    }

    private sealed class OneBadRow(IRowSource rows) : IRowSource
    {
        public long RowCount => rows.RowCount;

        public int MaxLength => rows.MaxLength;

        public PackedRow Read(long rowId)
        {
            PackedRow row = rows.Read(rowId);
            return rowId == BadRow ? row with { InputIds = [.. row.InputIds.Select(_ => BadToken)] } : row;
        }
    }

    /// <summary>Rows that say one word again and again; one row says anything.</summary>
    private sealed class EasyRows(long odd) : IRowSource
    {
        public long RowCount => 400;

        public int MaxLength => 16;

        public PackedRow Read(long rowId)
        {
            var random = new Random((int)rowId);
            int[] ids = [.. Enumerable.Range(0, 16).Select(_ => rowId == odd ? random.Next(90) : 5)];
            return new PackedRow(ids, [PackedRow.Ignored, .. ids[1..]], [16]);
        }
    }
}
