using Drover.Formats.Adapters;
using Drover.Formats.Datasets;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Collectives;
using Drover.Trainer.Model;

namespace Drover.Trainer.Engine.Tests;

/// <summary>The plan of a run against what its ranks count: within a tenth, for every class of memory on every rank.</summary>
public class MemoryFormulaTests
{
    private const int RowTokens = 32;

    private static readonly Dictionary<string, ParallelSpec> Layouts = new(StringComparer.Ordinal)
    {
        ["ddp"] = new(),
        ["zero1"] = new() { Placement = StatePlacement.Zero1 },
        ["zero2"] = new() { Placement = StatePlacement.Zero2 },
        ["zero2 offload"] = new() { Placement = StatePlacement.Zero2, OffloadOptimizer = true },
        ["zero3"] = new() { Placement = StatePlacement.Zero3 },
        ["zero3 offload"] = new() { Placement = StatePlacement.Zero3, OffloadOptimizer = true, OffloadWeights = true },
        ["gemini"] = new() { Placement = StatePlacement.Gemini, Gemini = new GeminiSpec { ChunkValues = 1024 } },
        ["gemini, a part of each"] = new() { Placement = StatePlacement.Gemini, Gemini = new GeminiSpec { ChunkValues = 1024, OffloadWeightsFraction = 0.4, OffloadOptimizerFraction = 0.7 } },
        ["tp 2"] = new() { TensorParallel = 2 },
        ["tp 2 zero3"] = new() { TensorParallel = 2, Placement = StatePlacement.Zero3 },
        ["split_gather"] = new() { TensorParallel = 2, SequenceMode = SequenceMode.SplitGather },
        ["pp 2"] = new() { PipelineParallel = 2 },
        ["pp 2 gpipe"] = new() { PipelineParallel = 2, PipelineOrder = PipelineOrder.GPipe },
        ["pp 2 interleaved"] = new() { PipelineParallel = 2, PartsPerRank = 2 },
        ["pp 2 zero2"] = new() { PipelineParallel = 2, Placement = StatePlacement.Zero2 },
        ["pp 2 zero3"] = new() { PipelineParallel = 2, Placement = StatePlacement.Zero3 },
        ["ring 2 zero3"] = new() { SequenceParallel = 2, SequenceMode = SequenceMode.Ring, Placement = StatePlacement.Zero3 },
        ["all_to_all 2"] = new() { SequenceParallel = 2, SequenceMode = SequenceMode.AllToAll },
    };

    public static TheoryData<string, int, Precision, bool, bool> Matrix()
    {
        var matrix = new TheoryData<string, int, Precision, bool, bool>();
        foreach (string layout in Layouts.Keys)
        {
            foreach (int ranks in new[] { 2, 4 })
            {
                matrix.Add(layout, ranks, Precision.Fp32, false, false);
                matrix.Add(layout, ranks, Precision.Bf16, true, true);
            }
        }

        return matrix;
    }

    [Theory]
    [MemberData(nameof(Matrix))]
    public void Planned_bytes_are_within_a_tenth_of_what_ranks_count(string layout, int ranks, Precision precision, bool recompute, bool tied)
    {
        AssertPlanned(layout, ranks, precision, recompute, SmallRun.Config with { NumHiddenLayers = 5, TieWordEmbeddings = tied });
    }

    [Theory]
    [InlineData("ddp", Precision.Fp32)]
    [InlineData("tp 2", Precision.Bf16)]
    [InlineData("split_gather", Precision.Fp32)]
    [InlineData("pp 2 zero3", Precision.Bf16)]
    public void Norms_of_heads_are_planned_too(string layout, Precision precision) =>
        AssertPlanned(layout, 2, precision, recompute: false, SmallRun.Config with { ModelType = "qwen3", HeadDim = 12, NumHiddenLayers = 5 });

    [Theory]
    [MemberData(nameof(AdapterMatrix))]
    public void Frozen_weights_take_compute_weights_alone_and_adapters_take_all(string layout, Precision precision, bool recompute, bool dora)
    {
        var lora = new LoraSpec { Rank = 6, Dora = dora, TokenRowsFrom = dora ? 80 : 0, ModulesToSave = dora ? ["norm"] : ["lm_head"] };
        AssertPlanned(layout, 2, precision, recompute ? ActivationSpec.Recomputed : new ActivationSpec(), SmallRun.Config with { NumHiddenLayers = 5 }, of: SmallRun.Spec with { Lora = lora });
    }

    [Theory]
    [InlineData("ddp")]
    [InlineData("zero2")]
    [InlineData("pp 2 zero3")]
    [InlineData("gemini, a part of each")]
    public void A_stage_of_embeddings_alone_takes_state_for_them_alone(string layout) =>
        AssertPlanned(layout, 2, Precision.Bf16, new ActivationSpec(), SmallRun.Config with { NumHiddenLayers = 5 }, of: SmallRun.Spec with { HasBase = true, Rates = new WeightRates { EmbeddingsOnly = true } });

    public static TheoryData<string, Precision, bool, bool> AdapterMatrix()
    {
        var matrix = new TheoryData<string, Precision, bool, bool>();
        foreach (string layout in new[] { "ddp", "zero1", "zero2", "zero2 offload", "zero3", "zero3 offload", "gemini", "gemini, a part of each", "tp 2", "tp 2 zero3", "split_gather", "pp 2", "pp 2 zero3", "ring 2 zero3" })
        {
            matrix.Add(layout, Precision.Bf16, false, false);
            matrix.Add(layout, Precision.Fp32, true, true);
        }

        return matrix;
    }

    [Theory]
    [InlineData("ddp", RecomputeMode.Attention, false)]
    [InlineData("zero2", RecomputeMode.FeedForward, true)]
    [InlineData("zero3", RecomputeMode.Full, true)]
    [InlineData("gemini", RecomputeMode.Blocks, true)]
    [InlineData("split_gather", RecomputeMode.Attention, true)]
    [InlineData("pp 2 interleaved", RecomputeMode.Blocks, true)]
    [InlineData("pp 2 gpipe", RecomputeMode.None, true)]
    [InlineData("ring 2 zero3", RecomputeMode.FeedForward, true)]
    [InlineData("all_to_all 2", RecomputeMode.Blocks, false)]
    public void Halves_that_are_run_again_and_inputs_in_host_memory_are_planned_too(string layout, RecomputeMode mode, bool offload) =>
        AssertPlanned(layout, 2, Precision.Bf16, new ActivationSpec { Mode = mode, Blocks = mode == RecomputeMode.Blocks ? 3 : 0, Offload = offload }, SmallRun.Config with { NumHiddenLayers = 5 });

    [Theory]
    [InlineData("ddp", Precision.Fp32)]
    [InlineData("zero1", Precision.Bf16)]
    [InlineData("zero2 offload", Precision.Fp32)]
    [InlineData("zero3", Precision.Bf16)]
    [InlineData("pp 2 zero3", Precision.Fp32)]
    [InlineData("tp 2", Precision.Bf16)]
    public void Moments_in_8_bits_are_planned_too(string layout, Precision precision) =>
        AssertPlanned(layout, 2, precision, new ActivationSpec(), SmallRun.Config with { NumHiddenLayers = 5 }, OptimizerKind.AdamW8Bit);

    private static void AssertPlanned(string layout, int ranks, Precision precision, bool recompute, LlamaConfig config) =>
        AssertPlanned(layout, ranks, precision, new ActivationSpec { Mode = recompute ? RecomputeMode.Full : RecomputeMode.None }, config);

    private static void AssertPlanned(string layout, int ranks, Precision precision, ActivationSpec activations, LlamaConfig config, OptimizerKind optimizer = OptimizerKind.AdamW, EngineSpec? of = null)
    {
        EngineSpec spec = (of ?? SmallRun.Spec) with { Parallel = Layouts[layout], Precision = precision, MicroBatchRows = 1, Activations = activations, Optimizer = SmallRun.Spec.Optimizer with { Kind = optimizer } };
        var measured = new Dictionary<(MemoryClass, MemoryPlace), long>[ranks];
        ThreadRanks.Run(ranks, collectives =>
        {
            using TrainingEngine engine = SmallRun.Engine(spec, config, collectives, new FullRows(40, config.VocabSize));
            engine.Step();
            engine.Step();
            measured[collectives.Rank] = engine.Memory.Lines.ToDictionary(l => (l.Class, l.Place), l => l.PeakBytes);
        });

        var plan = new LayoutSpec(config, spec.Parallel, ranks, precision == Precision.Bf16 ? 2 : 4, RowTokens, spec.GlobalBatchRows / spec.Parallel.DataParallel(ranks), spec.Activations, 0) { Optimizer = optimizer, Rates = spec.Rates, Lora = spec.Lora, HasBase = spec.HasBase };
        foreach (RankLayout rank in RankLayout.AllOf(plan))
        {
            Dictionary<(MemoryClass, MemoryPlace), long> planned = rank.Memory.ToDictionary(m => (m.Class, m.Place), m => m.Bytes), counted = measured[rank.Rank];
            foreach ((MemoryClass, MemoryPlace) what in planned.Keys.Union(counted.Keys))
            {
                long expected = planned.GetValueOrDefault(what), actual = counted.GetValueOrDefault(what);
                Assert.True(Math.Abs(expected - actual) <= 0.1 * actual, $"rank {rank.Rank}, {what}: planned {expected}, counted {actual}");
            }
        }
    }

    [Fact]
    public void Every_weight_lies_on_as_many_ranks_as_hold_it_whole()
    {
        var spec = new ParallelSpec { TensorParallel = 2, PipelineParallel = 2 };
        var plan = new LayoutSpec(SmallRun.Config, spec, 8, 4, RowTokens, 4, new ActivationSpec(), 0);
        long whole = LlamaTensors.All(SmallRun.Config).Sum(w => w.Shape.Aggregate(1L, (n, d) => n * d));
        long norms = LlamaTensors.All(SmallRun.Config).Where(w => w.Shape.Length == 1).Sum(w => w.Shape[0]);
        // Two replicas of everything, and in each what is not cut once more.
        Assert.Equal(2 * (whole + norms), RankLayout.AllOf(plan).Sum(r => r.WeightCount));
        Assert.Equal(["embedding", "layers 0-1"], RankLayout.Of(plan, 0).BlockNames);
        Assert.Equal(["layer 2", "head"], RankLayout.Of(plan, 7).BlockNames);
    }

    private sealed class FullRows(int count, int vocabulary) : IRowSource
    {
        public long RowCount => count;

        public int MaxLength => RowTokens;

        public PackedRow Read(long rowId)
        {
            var random = new Random((int)rowId);
            int[] ids = [.. Enumerable.Range(0, RowTokens).Select(_ => random.Next(vocabulary))];
            return new PackedRow(ids, ids, [RowTokens / 2, RowTokens / 2]);
        }
    }
}
