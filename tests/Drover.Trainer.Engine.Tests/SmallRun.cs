using Drover.Formats.Datasets;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Collectives;
using Drover.Trainer.Model;
using Drover.Trainer.Parallelism;

namespace Drover.Trainer.Engine.Tests;

/// <summary>A small LLaMA, a small set of packed rows with unequal label counts, and runs over them.</summary>
internal static class SmallRun
{
    public static LlamaConfig Config { get; } = new()
    {
        VocabSize = 97,
        HiddenSize = 32,
        IntermediateSize = 56,
        NumHiddenLayers = 3,
        NumAttentionHeads = 4,
        NumKeyValueHeads = 2,
        RmsNormEps = 1e-5,
        InitializerRange = 0.08,
    };

    public static EngineSpec Spec { get; } = new()
    {
        Precision = Precision.Fp32,
        GlobalBatchRows = 8,
        MicroBatchRows = 4,
        Seed = 5,
        Threads = 1,
        Schedule = new ScheduleSpec { TotalSteps = 20, WarmupSteps = 3 },
        Optimizer = new AdamWSpec { LearningRate = 3e-3 },
    };

    public static TrainingEngine Engine(EngineSpec spec, LlamaConfig config, ICollectives? collectives = null, IRowSource? rows = null)
    {
        var engine = new TrainingEngine(spec, config, collectives ?? new SingleRank(), rows ?? new RandomRows(40, 24, config.VocabSize, seed: 3));
        engine.InitializeWeights(11);
        return engine;
    }

    /// <summary>Results of the first steps.</summary>
    public static StepResult[] Run(EngineSpec spec, LlamaConfig? config = null, int steps = 20, ICollectives? collectives = null)
    {
        using TrainingEngine engine = Engine(spec, config ?? Config, collectives);
        return [.. Enumerable.Range(0, steps).Select(_ => engine.Step())];
    }

    /// <summary>A copy of all state that the rank owns.</summary>
    public static Dictionary<(string Kind, string Name), float[]> StateOf(TrainingEngine engine) => engine.State.ToDictionary(s => (s.Kind, s.Name), s =>
    {
        float[] values = new float[s.Count];
        engine.CopyState(s, values);
        return values;
    });

    /// <summary>Copies a slice into whole tensors that ranks fill together.</summary>
    public static void Put(TrainingEngine engine, StateSlice slice, Dictionary<string, float[]> whole)
    {
        float[] values = new float[slice.Count];
        engine.CopyState(slice, values);
        lock (whole)
        {
            if (!whole.TryGetValue(slice.Name, out float[]? target))
                whole[slice.Name] = target = [.. Enumerable.Repeat(float.NaN, (int)slice.GlobalShape.Aggregate(1L, (n, d) => n * d))];
            int columns = (int)slice.Shape[^1], stride = (int)slice.GlobalShape[^1];
            for (int row = 0; row < values.Length / columns; row++)
            {
                int first = slice.Shape.Length == 1 ? (int)slice.Offset[0] : (int)(((slice.Offset[0] + row) * stride) + slice.Offset[1]);
                Assert.All(target[first..(first + columns)], v => Assert.True(float.IsNaN(v), $"{slice.Name} is saved twice"));
                values.AsSpan(row * columns, columns).CopyTo(target.AsSpan(first));
            }
        }
    }

    public static void AssertSame(StepResult[] expected, StepResult[] actual, double relative = 1e-5)
    {
        Assert.Equal(expected.Length, actual.Length);
        foreach ((StepResult a, StepResult b) in expected.Zip(actual))
        {
            Assert.True(Math.Abs(a.Loss - b.Loss) <= relative * a.Loss, $"step {a.Step}: loss {a.Loss} against {b.Loss}");
            Assert.True(Math.Abs(a.GradNorm - b.GradNorm) <= relative * a.GradNorm, $"step {a.Step}: grad norm {a.GradNorm} against {b.GradNorm}");
            Assert.Equal((a.LearningRate, a.LabelTokens, a.RealTokens), (b.LearningRate, b.LabelTokens, b.RealTokens));
        }
    }
}

/// <summary>Rows of random documents; some documents carry no loss on their first half.</summary>
internal sealed class RandomRows : IRowSource
{
    private readonly PackedRow[] _rows;

    public RandomRows(int count, int maxLength, int vocabulary, int seed)
    {
        var random = new Random(seed);
        MaxLength = maxLength;
        _rows = new PackedRow[count];
        for (int i = 0; i < count; i++)
        {
            var lengths = new List<int>();
            for (int room = maxLength; room > 0 && lengths.Count < 4;)
            {
                lengths.Add(Math.Min(room, random.Next(1, maxLength)));
                room -= lengths[^1];
            }

            int[] ids = [.. Enumerable.Range(0, lengths.Sum()).Select(_ => random.Next(vocabulary))];
            int[] labels = [.. ids];
            int start = 0;
            foreach (int length in lengths)
            {
                Array.Fill(labels, PackedRow.Ignored, start, random.Next(2) == 0 ? 1 : Math.Max(1, length / 2));
                start += length;
            }

            _rows[i] = new PackedRow(ids, labels, [.. lengths]);
        }
    }

    public long RowCount => _rows.Length;

    public int MaxLength { get; }

    public PackedRow Read(long rowId) => _rows[rowId];
}
