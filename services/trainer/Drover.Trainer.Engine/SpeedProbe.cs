using Drover.Formats.Datasets;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Collectives;

namespace Drover.Trainer.Engine;

/// <summary>Rows of a run as far as its speed depends on them.</summary>
/// <param name="Tokens">Of a row.</param>
/// <param name="Documents">In a row.</param>
/// <param name="LabelledPart">The part of the tokens that carries loss, 0 to 1.</param>
public sealed record RowShape(int Tokens, int Documents, double LabelledPart);

/// <summary>
/// Measures steps of a model with a few of a run's layers, with everything that its layout does: what a prediction starts from. Of a
/// pipeline, the ranks of each stage are measured by themselves, all stages at once.
/// </summary>
public static class SpeedProbe
{
    private const int MostMicroBatches = 2;
    private const int TimedSteps = 3;

    /// <summary>Layers of the small models for a model of so many.</summary>
    public static (int Few, int More) LayersFor(int layers) => (1, Math.Min(3, Math.Max(1, layers)));

    /// <summary>Seconds of a step, the mean over the ranks.</summary>
    /// <param name="spec">Of the run.</param>
    /// <param name="config">Of the run's model.</param>
    /// <param name="layers">Of the small model.</param>
    /// <param name="world">All ranks of the run; each calls it.</param>
    /// <param name="rows">What a row is.</param>
    public static MeasuredStep Measure(EngineSpec spec, LlamaConfig config, int layers, ICollectives world, RowShape rows)
    {
        RankCoordinates place = RankCoordinates.Of(world.Rank, spec.Parallel, world.WorldSize);
        ParallelSpec stage = spec.Parallel with { PipelineParallel = 1, PartsPerRank = 1 };
        using ICollectives group = world.Split("stage", place.Pipeline);
        int replicas = stage.DataParallel(group.WorldSize), microBatches = Math.Min(MostMicroBatches, spec.GlobalBatchRows / (spec.MicroBatchRows * replicas));
        LlamaConfig small = config with { NumHiddenLayers = layers };
        EngineSpec probed = spec with
        {
            Parallel = stage,
            GlobalBatchRows = microBatches * spec.MicroBatchRows * replicas,
            Rates = spec.Rates.Problems(small).Any() ? new WeightRates() : spec.Rates,
            Guard = new GuardSpec { OnNotFinite = AnomalyAction.Skip, MaxSkipsInRow = int.MaxValue, WindowSteps = int.MaxValue },
        };
        using var engine = new TrainingEngine(probed, small, group, new ProbeRows(small.VocabSize, rows));
        engine.LoadWeights(Fill);
        // The library prepares its kernels in the first steps.
        engine.Step();
        var steps = new List<(double Forward, double Backward, double Once)>();
        for (int i = 0; i < TimedSteps; i++)
        {
            world.Barrier();
            StepResult step = engine.Step();
            double forward = step.ForwardSeconds / microBatches, backward = step.BackwardSeconds / microBatches;
            steps.Add((forward, backward, step.Seconds - step.ForwardSeconds - step.BackwardSeconds));
        }

        double[] medians = [Median(steps.Select(s => s.Forward)), Median(steps.Select(s => s.Backward)), Median(steps.Select(s => s.Once))];
        world.AllReduceSum(medians);
        return new MeasuredStep(layers, medians[0] / world.WorldSize, medians[1] / world.WorldSize, medians[2] / world.WorldSize);
    }

    private static double Median(IEnumerable<double> values) => values.Order().ElementAt(TimedSteps / 2);

    // Small numbers that take no time to make: the speed of a step does not depend on what they are.
    private static void Fill(StateSlice slice, Span<float> values)
    {
        for (int i = 0; i < values.Length; i++)
            values[i] = slice.Shape.Length == 1 ? 1 : (((uint)i * 2654435761u >> 16) - 32768f) * 1e-6f;
    }

    private sealed class ProbeRows(int vocabulary, RowShape shape) : IRowSource
    {
        public long RowCount => 1024;

        public int MaxLength => shape.Tokens;

        public PackedRow Read(long rowId)
        {
            var random = new Random((int)rowId);
            int[] ids = [.. Enumerable.Range(0, shape.Tokens).Select(_ => random.Next(vocabulary))];
            int documents = Math.Clamp(shape.Documents, 1, shape.Tokens);
            int[] lengths = [.. Enumerable.Range(0, documents).Select(i => (shape.Tokens * (i + 1) / documents) - (shape.Tokens * i / documents))];
            double due = 0;
            int[] labels = [.. ids.Select(id =>
            {
                due += shape.LabelledPart;
                if (due < 1)
                    return PackedRow.Ignored;
                due -= 1;
                return id;
            })];
            return new PackedRow(ids, labels, lengths);
        }
    }
}
