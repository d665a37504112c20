using Drover.Formats.HuggingFace;
using Drover.Trainer.Collectives;

namespace Drover.Trainer.Engine.Tests;

/// <summary>Evaluation on held-out rows by the ranks of a run: the same loss on every layout, and nothing of the run changes.</summary>
public class EvaluationTests
{
    private static readonly LlamaConfig Config = SmallRun.Config with { NumHiddenLayers = 5 };

    // Rows that fill no whole number of micro-batches.
    private static readonly RandomRows HeldOut = new(13, 24, Config.VocabSize, seed: 77);

    private static readonly Lazy<Measured> Reference = new(() => Measure(new SingleRank(), new ParallelSpec()));

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public static TheoryData<string> Strategies => [.. StrategyEquivalenceTests.Strategies.Keys];

    [Theory]
    [MemberData(nameof(Strategies))]
    public void A_layout_evaluates_to_the_loss_of_one_rank_and_trains_on_as_if_it_had_not(string strategy)
    {
        (int ranks, ParallelSpec spec) = StrategyEquivalenceTests.Strategies[strategy];
        Measured expected = Reference.Value;
        var all = new Measured[ranks];
        ThreadRanks.Run(ranks, collectives => all[collectives.Rank] = Measure(collectives, spec));
        foreach (Measured rank in all)
        {
            Assert.Equal(expected.Loss.LabelTokens, rank.Loss.LabelTokens);
            Assert.Equal(expected.Loss.Mean, rank.Loss.Mean, 1e-5);
            SmallRun.AssertSame(expected.Steps, rank.Steps);
        }
    }

    [Fact]
    public void An_evaluation_is_that_of_the_model_alone()
    {
        using TrainingEngine engine = SmallRun.Engine(SmallRun.Spec, Config);
        using var model = new LanguageModel(Config, SmallRun.Spec.Precision, 1);
        model.InitializeWeights(11);
        EvaluationSums expected = model.Evaluate(HeldOut, 4, cancellation: Cancellation), actual = engine.Evaluate(HeldOut, 0, Cancellation);
        Assert.Equal(expected.LabelTokens, actual.LabelTokens);
        Assert.Equal(expected.LossSum, actual.LossSum, 1e-4);
    }

    [Fact]
    public void A_number_of_rows_is_spread_evenly_over_the_dataset()
    {
        using TrainingEngine engine = SmallRun.Engine(SmallRun.Spec, Config);
        long[] chosen = [0, 3, 6, 9];
        var some = new ChosenRows(HeldOut, chosen);
        Assert.Equal(engine.Evaluate(some, 0, Cancellation), engine.Evaluate(HeldOut, maxRows: 4, Cancellation));
    }

    // The run that is compared with does not evaluate.
    private static Measured Measure(ICollectives collectives, ParallelSpec parallel)
    {
        EngineSpec spec = SmallRun.Spec with { MicroBatchRows = 1, Parallel = parallel, HeadChunkTokens = 16 };
        bool isReference = parallel == new ParallelSpec() && collectives.WorldSize == 1;
        using TrainingEngine engine = SmallRun.Engine(spec, Config, collectives);
        var steps = new List<StepResult> { engine.Step(), engine.Step() };
        EvaluationSums? loss = isReference ? null : engine.Evaluate(HeldOut, 0, Cancellation);
        steps.Add(engine.Step());
        steps.Add(engine.Step());
        if (loss is null)
        {
            using TrainingEngine again = SmallRun.Engine(spec, Config, collectives);
            again.Step();
            again.Step();
            loss = again.Evaluate(HeldOut, 0, Cancellation);
        }

        return new Measured(loss, [.. steps]);
    }

    private sealed record Measured(EvaluationSums Loss, StepResult[] Steps);

    private sealed class ChosenRows(Formats.Datasets.IRowSource rows, long[] chosen) : Formats.Datasets.IRowSource
    {
        public long RowCount => chosen.Length;

        public int MaxLength => rows.MaxLength;

        public Formats.Datasets.PackedRow Read(long rowId) => rows.Read(chosen[rowId]);
    }
}
