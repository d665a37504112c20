using Drover.Formats.Datasets;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Collectives;

namespace Drover.Trainer.Engine.Tests;

/// <summary>The bytes that ranks hand to collectives in a step, counted, against what each strategy's formula says: equal, not about.</summary>
public class TrafficTests
{
    private const long RowTokens = 32;
    private const long Fp32 = 4;
    private const int MicroBatches = 4;
    private static readonly LlamaConfig Config = SmallRun.Config with { NumHiddenLayers = 5 };
    private static readonly long Hidden = Config.HiddenSize;
    private static readonly long Layers = Config.NumHiddenLayers;
    private static readonly long Embedding = Config.VocabSize * Hidden;
    private static readonly long Layer = LlamaTensors.Layer(Config).Sum(w => w.Shape.Aggregate(1L, (a, b) => a * b));
    private static readonly long Head = Embedding + Hidden;
    private static readonly long Model = Embedding + (Layers * Layer) + Head;
    private static readonly long Activation = RowTokens * Hidden * Fp32;

    [Fact]
    public void Ddp_sums_each_gradient_once_a_step() =>
        Assert.Equal(Expect(("data/all-reduce", Model * Fp32)), Count(2, new ParallelSpec()));

    [Fact]
    public void Zero_1_scatters_gradients_and_gathers_weights_once_a_step() =>
        Assert.Equal(Expect(("data/reduce-scatter", Model * Fp32), ("data/all-gather", Model * Fp32)), Count(2, new ParallelSpec { Placement = StatePlacement.Zero1 }));

    [Fact]
    public void Zero_2_scatters_gradients_with_each_micro_batch() =>
        Assert.Equal(Expect(("data/reduce-scatter", MicroBatches * Model * Fp32), ("data/all-gather", Model * Fp32)), Count(2, new ParallelSpec { Placement = StatePlacement.Zero2 }));

    [Fact]
    public void Zero_3_gathers_layers_for_forward_and_for_backward_and_the_ends_once() =>
        Assert.Equal(
            Expect(("data/reduce-scatter", MicroBatches * Model * Fp32), ("data/all-gather", MicroBatches * (Embedding + (2 * Layers * Layer) + Head) * Fp32)),
            Count(2, new ParallelSpec { Placement = StatePlacement.Zero3 }));

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Tensor_parallel_sums_activations_twice_a_layer_each_way_and_two_numbers_a_label(bool recompute)
    {
        long micro = 2 * MicroBatches, labels = RowTokens - 1, sums = 1 + (2 * Layers) + (2 * Layers) + 1 + (recompute ? 2 * Layers : 0);
        Assert.Equal(
            Expect(("tensor/all-reduce", micro * ((sums * Activation) + (2 * labels * Fp32))), ("tensor/all-reduce-max", micro * labels * Fp32)),
            Count(2, new ParallelSpec { TensorParallel = 2 }, recompute));
    }

    [Fact]
    public void Split_gather_moves_half_of_each_sum_in_and_half_out_and_sums_what_is_not_cut()
    {
        long micro = 2 * MicroBatches, labels = RowTokens - 1, moves = (4 * Layers) + 2, norms = ((2 * Layers) + 1) * Hidden;
        Assert.Equal(
            Expect(
                ("tensor/all-gather", micro * moves * Activation),
                ("tensor/reduce-scatter", micro * moves * Activation),
                ("tensor/all-reduce", (micro * 2 * labels * Fp32) + (norms * Fp32)),
                ("tensor/all-reduce-max", micro * labels * Fp32)),
            Count(2, new ParallelSpec { TensorParallel = 2, SequenceMode = SequenceMode.SplitGather }));
    }

    [Fact]
    public void A_pipeline_sends_activations_one_way_and_their_gradients_the_other() =>
        Assert.Equal(
            Expect(("pipeline/send", 2 * MicroBatches * Activation), ("pipeline/receive", 2 * MicroBatches * Activation)),
            Count(2, new ParallelSpec { PipelineParallel = 2 }));

    [Fact]
    public void A_ring_moves_keys_and_values_to_all_but_home_and_their_gradients_all_the_way_round()
    {
        const long ranks = 2, tokens = RowTokens / ranks;
        long pair = 2L * Config.KeyValueHeads * Config.HeadSize * tokens * Fp32, micro = 2 * MicroBatches;
        long moved = micro * Layers * ((2 * (ranks - 1) * pair) + (ranks * pair));
        Assert.Equal(
            Expect(("data/all-reduce", Model * Fp32), ("sequence/send", moved), ("sequence/receive", moved)),
            Count((int)ranks, new ParallelSpec { SequenceParallel = (int)ranks, SequenceMode = SequenceMode.Ring }));
    }

    [Fact]
    public void All_to_all_moves_queries_keys_values_and_results_once_each_way()
    {
        const long ranks = 2, tokens = RowTokens / ranks;
        long head = Config.HeadSize * tokens * Fp32, micro = 2 * MicroBatches;
        long moved = micro * Layers * 2 * ((2 * Config.NumAttentionHeads) + (2 * Config.KeyValueHeads)) * head;
        Assert.Equal(
            Expect(("data/all-reduce", Model * Fp32), ("sequence/all-to-all", moved)),
            Count((int)ranks, new ParallelSpec { SequenceParallel = (int)ranks, SequenceMode = SequenceMode.AllToAll }));
    }

    private static SortedDictionary<string, long> Expect(params (string Key, long Bytes)[] lines) =>
        new(lines.ToDictionary(l => l.Key, l => l.Bytes), StringComparer.Ordinal);

    // Of rank 0 in its second step, without the few numbers that all ranks agree on.
    private static SortedDictionary<string, long> Count(int ranks, ParallelSpec parallel, bool recompute = false)
    {
        SortedDictionary<string, long> counted = [];
        EngineSpec spec = SmallRun.Spec with { Parallel = parallel, MicroBatchRows = 1, GlobalBatchRows = 8, Activations = new ActivationSpec { Mode = recompute ? RecomputeMode.Full : RecomputeMode.None } };
        ThreadRanks.Run(ranks, collectives =>
        {
            using TrainingEngine engine = SmallRun.Engine(spec, Config, collectives, new FullRows());
            engine.Step();
            engine.Traffic.Reset();
            engine.Step();
            if (collectives.Rank == 0)
                counted = new(engine.Traffic.Snapshot().Where(e => e.Axis != "world").ToDictionary(e => $"{e.Axis}/{e.Operation}", e => e.PayloadBytes), StringComparer.Ordinal);
        });
        return counted;
    }

    // Rows of one size, each one document whose every token but the first has a label.
    private sealed class FullRows : IRowSource
    {
        public long RowCount => 40;

        public int MaxLength => (int)RowTokens;

        public PackedRow Read(long rowId)
        {
            var random = new Random((int)rowId);
            int[] ids = [.. Enumerable.Range(0, MaxLength).Select(_ => random.Next(Config.VocabSize))];
            return new PackedRow(ids, ids, [MaxLength]);
        }
    }
}
