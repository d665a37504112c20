using Drover.Formats.Adapters;
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
public sealed class SpeedProbe : IDisposable
{
    private const int MostMicroBatches = 2;
    private const int TimedSteps = 3;
    private readonly ICollectives _world;
    private readonly ICollectives _group;
    private readonly TrainingEngine _engine;
    private readonly int _layers;
    private readonly int _microBatches;
    private readonly List<(double Forward, double Backward, double Once)> _steps = [];

    /// <param name="spec">Of the run.</param>
    /// <param name="config">Of the run's model.</param>
    /// <param name="layers">Of the small model.</param>
    /// <param name="world">All ranks of the run; each makes one.</param>
    /// <param name="rows">What a row is.</param>
    public SpeedProbe(EngineSpec spec, LlamaConfig config, int layers, ICollectives world, RowShape rows)
    {
        (_world, _layers) = (world, layers);
        RankCoordinates place = RankCoordinates.Of(world.Rank, spec.Parallel, world.WorldSize);
        ParallelSpec stage = spec.Parallel with { PipelineParallel = 1, PartsPerRank = 1 };
        _group = world.Split("stage", place.Pipeline);
        int replicas = stage.DataParallel(_group.WorldSize);
        _microBatches = Math.Min(MostMicroBatches, spec.GlobalBatchRows / (spec.MicroBatchRows * replicas));
        LlamaConfig small = config with { NumHiddenLayers = layers };
        // Patterns may be of layers that the small model has not.
        LoraSpec? lora = spec.Lora is { } whole && whole.Problems(small).Any() ? whole with { Targets = LoraSpec.AllLinear, ModulesToSave = [] } : spec.Lora;
        EngineSpec probed = spec with
        {
            Parallel = stage,
            GlobalBatchRows = _microBatches * spec.MicroBatchRows * replicas,
            Activations = spec.Activations.Mode == RecomputeMode.Blocks ? spec.Activations with { Mode = RecomputeMode.None, Blocks = 0 } : spec.Activations,
            Rates = spec.Rates.Problems(small, lora).Any() ? new WeightRates() : spec.Rates,
            Lora = lora,
            Guard = new GuardSpec { OnNotFinite = AnomalyAction.Skip, MaxSkipsInRow = int.MaxValue, WindowSteps = int.MaxValue },
        };
        _engine = new TrainingEngine(probed, small, _group, new ProbeRows(small.VocabSize, rows));
        _engine.LoadWeights(Fill);
        // The library prepares its kernels in the first step.
        _engine.Step();
    }

    /// <summary>Medians of the steps so far, the mean over the ranks. Every rank asks.</summary>
    public MeasuredStep Result
    {
        get
        {
            double[] medians = [Median(_steps.Select(s => s.Forward)), Median(_steps.Select(s => s.Backward)), Median(_steps.Select(s => s.Once))];
            _world.AllReduceSum(medians);
            return new MeasuredStep(_layers, medians[0] / _world.WorldSize, medians[1] / _world.WorldSize, medians[2] / _world.WorldSize);
        }
    }

    /// <summary>Layers of the small models for a model of so many.</summary>
    public static (int Few, int More) LayersFor(int layers) => (1, Math.Min(3, Math.Max(1, layers)));

    /// <summary>Makes a small model, does a few steps of it, and lets it go.</summary>
    public static MeasuredStep Measure(EngineSpec spec, LlamaConfig config, int layers, ICollectives world, RowShape rows)
    {
        using var probe = new SpeedProbe(spec, config, layers, world, rows);
        for (int i = 0; i < TimedSteps; i++)
            probe.Step();
        return probe.Result;
    }

    /// <summary>Does one more step. Every rank does.</summary>
    public void Step()
    {
        _world.Barrier();
        StepResult step = _engine.Step();
        _steps.Add((step.ForwardSeconds / _microBatches, step.BackwardSeconds / _microBatches, step.Seconds - step.ForwardSeconds - step.BackwardSeconds));
    }

    /// <inheritdoc />
    public void Dispose()
    {
        _engine.Dispose();
        _group.Dispose();
    }

    private static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted[sorted.Length / 2];
    }

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
