using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.Formats.Datasets;
using Drover.Trainer.Collectives;
using Drover.Trainer.Model;
using Drover.Trainer.Parallelism;
using TorchSharp;

namespace Drover.Trainer.Engine.Tests;

public class GeminiTests
{
    private const int MicroBatches = 8;

    // Values of the small model's blocks: an embedding, three layers, the last norm with the head.
    private const long Embedding = 97 * 32, Layer = (32 * 64) + (32 * 32) + (3 * 32 * 56) + (2 * 32), Head = Embedding + 32;
    private const long AllValues = Embedding + (3 * Layer) + Head;

    // Chunks that divide neither blocks nor weights.
    private static readonly GeminiSpec Chunked = new() { ChunkValues = 1500 };

    [Theory]
    [InlineData(1, false)]
    [InlineData(1, true)]
    [InlineData(2, false)]
    [InlineData(2, true)]
    public void A_tight_budget_is_kept_by_evictions_that_change_nothing(int ranks, bool recompute)
    {
        EngineSpec plain = SmallRun.Spec with { MicroBatchRows = 1, Activations = new ActivationSpec { Mode = recompute ? RecomputeMode.Full : RecomputeMode.None } };
        StepResult[] expected = SmallRun.Run(plain, steps: 6);
        // Half of the weights fit beside everything else.
        long budget = PeakOfOthers(plain, ranks) + (AllValues * 4 / ranks / 2);
        ThreadRanks.Run(ranks, collectives =>
        {
            using TrainingEngine engine = SmallRun.Engine(Auto(plain, budget), SmallRun.Config, collectives);
            SmallRun.AssertSame(expected, [.. Enumerable.Range(0, 6).Select(_ => engine.Step())]);
            Assert.InRange(engine.Memory.DevicePeakBytes, budget * 9 / 10, budget);
            Assert.True(engine.Gemini!.Evictions > 0);
            Assert.True(engine.Gemini.ToDevice > 0 && engine.Gemini.ToHost > 0);
        });
    }

    [Fact]
    public void The_budget_that_everything_else_needs_is_enough_and_a_byte_less_is_refused()
    {
        EngineSpec plain = SmallRun.Spec with { MicroBatchRows = 1 };
        long needed = PeakOfOthers(plain, 1);
        SmallRun.AssertSame(SmallRun.Run(plain, steps: 4), SmallRun.Run(Auto(plain, needed), steps: 4));
        DroverException e = Assert.Throws<DroverException>(() => SmallRun.Run(Auto(plain, needed - 1), steps: 4));
        Assert.Equal((FailureCode.ResourceExhausted, "DEVICE_BUDGET"), (e.Code, e.Reason));
        Assert.Contains($"{needed - 1} bytes of gemini.device_budget_bytes", e.Message, StringComparison.Ordinal);
        Assert.Contains($"to {needed} or more", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_static_placement_that_does_not_fit_is_refused_when_it_is_allocated()
    {
        var spec = Chunked with { OffloadOptimizerFraction = 0, DeviceBudgetBytes = AllValues * 12 };
        DroverException e = Assert.Throws<DroverException>(() => SmallRun.Engine(With(SmallRun.Spec, spec), SmallRun.Config));
        Assert.Equal("DEVICE_BUDGET", e.Reason);
        Assert.Contains("raise the offload fractions", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void All_in_host_memory_moves_each_use_of_a_weight_and_each_gradient_once()
    {
        using TrainingEngine engine = SmallRun.Engine(With(SmallRun.Spec with { MicroBatchRows = 1 }, Chunked with { OffloadWeightsFraction = 1 }), SmallRun.Config);
        engine.Step();
        engine.Step();
        long weights = 2 * MicroBatches * 4 * (Embedding + (3 * 2 * Layer) + Head), gradients = 2 * MicroBatches * 4 * AllValues;
        Assert.Equal([new(MemoryClass.Weights, weights, 0), new(MemoryClass.Gradients, 0, gradients), new PieceTraffic(MemoryClass.Optimizer, 0, 0)], engine.Gemini!.Traffic);
    }

    [Fact]
    public void All_on_the_device_moves_nothing()
    {
        using TrainingEngine engine = SmallRun.Engine(With(SmallRun.Spec, Chunked with { OffloadOptimizerFraction = 0 }), SmallRun.Config);
        engine.Step();
        Assert.Equal((0, 0), (engine.Gemini!.ToDevice, engine.Gemini.ToHost));
        Assert.DoesNotContain(engine.Memory.Lines, l => l.Place == MemoryPlace.Host);
    }

    [Fact]
    public void A_larger_budget_moves_less_until_nothing_moves()
    {
        EngineSpec plain = SmallRun.Spec with { MicroBatchRows = 1 };
        long needed = PeakOfOthers(plain, 1), before = long.MaxValue;
        foreach (long room in new long[] { 2, 4, 8, 20 })
        {
            using TrainingEngine engine = SmallRun.Engine(Auto(plain, needed + (AllValues * room)), SmallRun.Config);
            engine.Step();
            engine.Step();
            long two = engine.Gemini!.ToDevice + engine.Gemini.ToHost;
            engine.Step();
            long third = engine.Gemini.ToDevice + engine.Gemini.ToHost - two;
            Assert.True(third < before, $"{third} bytes in a step with room for {room} bytes a value, {before} with less");
            before = third;
        }

        Assert.Equal(0, before);
    }

    [Fact]
    public void Ranks_with_equal_rows_make_equal_choices()
    {
        EngineSpec plain = SmallRun.Spec with { MicroBatchRows = 1 };
        long budget = PeakOfOthers(plain, 2) + (AllValues * 4 / 4);
        var reports = new GeminiReport[2];
        ThreadRanks.Run(2, collectives =>
        {
            using TrainingEngine engine = SmallRun.Engine(Auto(plain, budget), SmallRun.Config, collectives, new EqualRows());
            for (int i = 0; i < 4; i++)
                engine.Step();
            reports[collectives.Rank] = engine.Gemini!;
        });
        Assert.True(reports[0].Evictions > 0);
        Assert.Equal((reports[0].Evictions, reports[0].PeakOfOthersBytes), (reports[1].Evictions, reports[1].PeakOfOthersBytes));
        Assert.Equal(reports[0].Traffic, reports[1].Traffic);
    }

    [Fact]
    public void A_state_goes_from_gemini_to_ddp_and_back_bit_for_bit()
    {
        // One micro-batch a step and no clipping: then no sum has another order.
        EngineSpec ddp = SmallRun.Spec with { MicroBatchRows = 8, MaxGradNorm = 0 };
        EngineSpec gemini = Auto(ddp, PeakOfOthers(ddp, 1) + (AllValues * 3));
        double[] expected = [.. SmallRun.Run(ddp, steps: 12).Select(s => s.Loss)];
        var losses = new List<double>();
        Dictionary<string, Dictionary<string, float[]>>? saved = null;
        foreach (EngineSpec spec in new[] { gemini, ddp, With(ddp, gemini.Parallel.Gemini with { ChunkValues = 777 }) })
        {
            using TrainingEngine engine = SmallRun.Engine(spec, SmallRun.Config);
            if (saved is not null)
                Load(engine, losses.Count, saved);
            Dictionary<string, Dictionary<string, float[]>> loaded = Save(engine);
            Assert.All(saved ?? [], kind => Assert.All(kind.Value, t => Assert.Equal(t.Value, loaded[kind.Key][t.Key])));
            losses.AddRange(Enumerable.Range(0, 4).Select(_ => engine.Step().Loss));
            saved = Save(engine);
        }

        Assert.Equal(expected, losses);
    }

    [Fact]
    public void Two_ranks_of_gemini_save_what_one_rank_of_ddp_loads()
    {
        EngineSpec plain = SmallRun.Spec with { MicroBatchRows = 4 };
        StepResult[] expected = SmallRun.Run(plain, steps: 8);
        var saved = Empty();
        EngineSpec gemini = Auto(plain, PeakOfOthers(plain, 2) + (AllValues * 4 / 4));
        ThreadRanks.Run(2, collectives =>
        {
            using TrainingEngine engine = SmallRun.Engine(gemini, SmallRun.Config, collectives);
            for (int i = 0; i < 4; i++)
                engine.Step();
            Save(engine, saved);
        });
        using TrainingEngine one = SmallRun.Engine(plain, SmallRun.Config);
        Load(one, 4, saved);
        SmallRun.AssertSame(expected[4..], [.. Enumerable.Range(0, 4).Select(_ => one.Step())]);
    }

    // Not bit for bit: chunks end elsewhere than blocks, and the last bit of a moment may turn a rounding to bf16.
    [Fact]
    public void In_bf16_it_trains_as_ddp_does_within_half_a_percent()
    {
        EngineSpec plain = SmallRun.Spec with { MicroBatchRows = 1, Precision = Precision.Bf16 };
        SmallRun.AssertSame(SmallRun.Run(plain), SmallRun.Run(Auto(plain, PeakOfOthers(plain, 1) + AllValues)), 5e-3);
    }

    [Fact]
    public void A_step_leaves_no_tensor_behind_but_pieces()
    {
        EngineSpec plain = SmallRun.Spec with { MicroBatchRows = 1, Activations = ActivationSpec.Recomputed };
        using TrainingEngine engine = SmallRun.Engine(Auto(plain, PeakOfOthers(plain, 1) + (AllValues * 2)), SmallRun.Config);
        engine.Step();
        engine.Step();
        long before = DisposeScopeManager.Statistics.ThreadTotalLiveCount;
        engine.Step();
        engine.Step();
        Assert.True(engine.Gemini!.Evictions > 0);
        Assert.Equal(before, DisposeScopeManager.Statistics.ThreadTotalLiveCount);
    }

    private static EngineSpec With(EngineSpec spec, GeminiSpec gemini) =>
        spec with { Parallel = spec.Parallel with { Placement = StatePlacement.Gemini, Gemini = gemini } };

    private static EngineSpec Auto(EngineSpec spec, long budget) =>
        With(spec, Chunked with { Policy = GeminiPolicy.Auto, DeviceBudgetBytes = budget });

    // What the device needs for all but state, measured without a budget.
    private static long PeakOfOthers(EngineSpec spec, int ranks)
    {
        long[] peaks = new long[ranks];
        ThreadRanks.Run(ranks, collectives =>
        {
            using TrainingEngine engine = SmallRun.Engine(With(spec, Chunked with { OffloadWeightsFraction = 1 }), SmallRun.Config, collectives);
            for (int i = 0; i < 6; i++)
                engine.Step();
            peaks[collectives.Rank] = engine.Gemini!.PeakOfOthersBytes;
        });
        return peaks.Max();
    }

    private static Dictionary<string, Dictionary<string, float[]>> Empty() => new(StringComparer.Ordinal) { [LogicalTensor.Weight] = [], [LogicalTensor.FirstMoment] = [], [LogicalTensor.SecondMoment] = [] };

    private static Dictionary<string, Dictionary<string, float[]>> Save(TrainingEngine engine, Dictionary<string, Dictionary<string, float[]>>? into = null)
    {
        into ??= Empty();
        foreach (StateSlice slice in engine.SavedState)
            SmallRun.Put(engine, slice, into[slice.Kind]);
        return into;
    }

    private static void Load(TrainingEngine engine, long stepsDone, Dictionary<string, Dictionary<string, float[]>> saved) => engine.LoadState(stepsDone, (slice, values) =>
    {
        float[] whole = saved[slice.Kind][slice.Name];
        int columns = (int)slice.Shape[^1], stride = (int)slice.GlobalShape[^1];
        for (int row = 0; row < values.Length / columns; row++)
        {
            int first = slice.Shape.Length == 1 ? (int)slice.Offset[0] : (int)(((slice.Offset[0] + row) * stride) + slice.Offset[1]);
            whole.AsSpan(first, columns).CopyTo(values[(row * columns)..]);
        }
    });

    /// <summary>Rows of one length, one document each.</summary>
    private sealed class EqualRows : IRowSource
    {
        public long RowCount => 40;

        public int MaxLength => 20;

        public PackedRow Read(long rowId)
        {
            var random = new Random((int)rowId);
            int[] ids = [.. Enumerable.Range(0, MaxLength).Select(_ => random.Next(97))];
            return new PackedRow(ids, [PackedRow.Ignored, .. ids[1..]], [MaxLength]);
        }
    }
}
