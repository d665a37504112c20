using CsCheck;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Model;
using Drover.Trainer.Parallelism;

namespace Drover.Trainer.Engine.Tests;

/// <summary>The tables and schedules of layouts by themselves: nothing is lost, nothing is double, nothing waits in a circle.</summary>
public class LayoutTests
{
    [Fact]
    public void A_pipeline_schedule_does_every_pass_once_and_never_waits_in_a_circle() =>
        Gen.Select(Gen.Int[1, 6], Gen.Int[1, 4], Gen.Int[1, 13], Gen.Bool).Sample((ranks, parts, microBatches, gpipe) =>
        {
            bool interleaved = ranks > 1 && parts > 1;
            var spec = new ParallelSpec { PipelineParallel = ranks, PartsPerRank = interleaved ? parts : 1, PipelineOrder = gpipe && !interleaved ? PipelineOrder.GPipe : PipelineOrder.OneForwardOneBackward };
            PipelineAction[][] actions = [.. Enumerable.Range(0, ranks).Select(r => PipelineSchedule.Of(spec, r, microBatches).ToArray())];
            foreach (PipelineAction[] rank in actions)
            {
                Assert.Equal(2 * microBatches * spec.PartsPerRank, rank.Distinct().Count());
                Assert.Equal(rank.Length, rank.Distinct().Count());
            }

            AssertRuns(actions, ranks, spec.PartsPerRank);
        }, iter: 300);

    [Fact]
    public void One_forward_one_backward_keeps_no_more_micro_batches_than_stages()
    {
        var spec = new ParallelSpec { PipelineParallel = 4 };
        for (int rank = 0; rank < 4; rank++)
            Assert.Equal(4 - rank, MostInFlight(PipelineSchedule.Of(spec, rank, 16)));
        Assert.Equal(16, MostInFlight(PipelineSchedule.Of(spec with { PipelineOrder = PipelineOrder.GPipe }, 0, 16)));
    }

    [Fact]
    public void Stages_hold_every_layer_once_and_in_order() =>
        Gen.Select(Gen.Int[1, 40], Gen.Int[1, 8], Gen.Int[50, 200_000]).Where((layers, stages, _) => stages <= layers).Sample((layers, stages, vocabulary) =>
        {
            LlamaConfig config = SmallRun.Config with { NumHiddenLayers = layers, VocabSize = vocabulary };
            PartSpan[] spans = [.. Enumerable.Range(0, stages).Select(s => StageTable.StageOf(config, s, stages))];
            Assert.Equal(Enumerable.Range(0, layers), spans.SelectMany(s => Enumerable.Range(s.FirstLayer, s.LayerCount)));
            Assert.All(spans, s => Assert.True(s.LayerCount > 0));
            Assert.Equal((true, true), (spans[0].HasEmbedding, spans[^1].HasHead));
            Assert.Single(spans, s => s.HasEmbedding);
            Assert.Single(spans, s => s.HasHead);
        });

    [Fact]
    public void A_costly_head_takes_layers_from_its_stage()
    {
        // The head's product is as large as those of about five layers: 8 layers on 2 ranks are 7 and 1.
        LlamaConfig config = SmallRun.Config with { NumHiddenLayers = 8, HiddenSize = 512, IntermediateSize = 1376, NumAttentionHeads = 8, NumKeyValueHeads = 8, VocabSize = 32000 };
        Assert.Equal(7, StageTable.StageOf(config, 0, 2).LayerCount);
        Assert.Equal(4, StageTable.StageOf(config with { VocabSize = 256 }, 0, 2).LayerCount);
    }

    [Fact]
    public void Any_stretch_of_a_block_becomes_boxes_that_hold_each_of_its_values_once() =>
        Gen.Select(Gen.Int[1, 7], Gen.Int[1, 9], Gen.Int[1, 5], Gen.Int[0, 60], Gen.Int[0, 80]).Sample((rows, columns, tail, start, count) =>
        {
            var block = new BlockWeights([LocalWeight.Whole("a", [rows, columns]), LocalWeight.Part("b", [10, 12], 1, 3, 4), LocalWeight.Whole("c", [tail])]);
            start = (int)Math.Min(start, block.Count);
            count = (int)Math.Min(count, block.Count - start);
            var seen = new HashSet<(string, long)>();
            foreach (FlatBox box in FlatBoxes.Of(block, start, count))
            {
                Assert.InRange(box.First, 0, count - box.Count);
                LocalWeight weight = block.Weights.First(w => w.Name == box.Name);
                for (long i = 0; i < box.Count; i++)
                {
                    // Where the value lies in the whole tensor, and by way of the part in the flat stretch: the same value.
                    long width = box.Shape[^1], row = box.Shape.Length == 1 ? 0 : i / width, column = box.Shape.Length == 1 ? i : i % width;
                    long globalRow = (box.Shape.Length == 1 ? 0 : box.Offset[0]) + row, globalColumn = box.Offset[^1] + column;
                    long local = ((globalRow - (weight.Shape.Length == 1 ? 0 : weight.Offset[0])) * weight.Shape[^1]) + globalColumn - weight.Offset[^1];
                    Assert.Equal(start + box.First + i, block.OffsetOf(box.Name) + local);
                    Assert.True(seen.Add((box.Name, (globalRow * weight.GlobalShape[^1]) + globalColumn)));
                }
            }

            Assert.Equal(count, seen.Count);
        });

    [Fact]
    public void Tiles_let_each_token_see_its_document_and_window_up_to_itself_and_nothing_else() =>
        Gen.Select(Gen.Int[1, 700].List[1, 6], Gen.Int[1, 5], Gen.OneOf(Gen.Const(0), Gen.Int[1, 40], Gen.Int[41, 900])).Sample((lengths, shares, size) =>
        {
            int tokens = lengths.Sum();
            var row = new Formats.Datasets.PackedRow(new int[tokens], new int[tokens], [.. lengths]);
            using TokenBatch batch = TokenBatch.From([row], shares);
            using var context = new BatchContext(batch, new RotaryTables(SmallRun.Config), TorchSharp.torch.ScalarType.Float32);
            int? window = size == 0 ? null : size;
            VisibleKeys visible = context.VisibleWithin(window);
            int share = batch.TokenCount / shares;
            var random = new Random(tokens);
            for (int q = 0; q < shares; q++)
            {
                for (int k = 0; k < shares; k++)
                {
                    foreach (AttentionTile tile in visible.TilesOf((q * share, share), (k * share, share)))
                        AssertMask(visible, tile, window ?? tokens, batch.DocumentLengths, random);
                }
            }
        }, iter: 40);

    [Theory]
    [InlineData(3, 1, 1, 2, "multiple of tensor_parallel")]
    [InlineData(1, 9, 1, 9, "cannot fill")]
    [InlineData(1, 1, 3, 3, "needs sequence_mode")]
    [InlineData(2, 1, 1, 3, "the nearest that works is 2")]
    public void What_does_not_fit_together_is_refused_with_the_way_out(int tensor, int pipeline, int sequence, int ranks, string why)
    {
        var spec = new ParallelSpec { TensorParallel = tensor, PipelineParallel = pipeline, SequenceParallel = sequence };
        Assert.Contains(spec.Problems(SmallRun.Config, ranks), p => p.Contains(why, StringComparison.Ordinal));
    }

    private static int MostInFlight(IEnumerable<PipelineAction> actions)
    {
        int now = 0, most = 0;
        foreach (PipelineAction action in actions)
        {
            now += action.IsForward ? 1 : -1;
            most = Math.Max(most, now);
        }

        return most;
    }

    // Plays the schedules of all ranks: a pass waits for the one before it, sends do not wait.
    private static void AssertRuns(PipelineAction[][] actions, int ranks, int parts)
    {
        var done = new HashSet<(bool, int, int)>();
        int[] next = new int[ranks];
        int stages = ranks * parts;
        bool Ready(PipelineAction action, int stage) => action.IsForward
            ? stage == 0 || done.Contains((true, action.MicroBatch, stage - 1))
            : stage == stages - 1 ? done.Contains((true, action.MicroBatch, stage)) : done.Contains((false, action.MicroBatch, stage + 1));
        for (bool moved = true; moved;)
        {
            moved = false;
            for (int r = 0; r < ranks; r++)
            {
                while (next[r] < actions[r].Length && Ready(actions[r][next[r]], (actions[r][next[r]].Part * ranks) + r))
                {
                    PipelineAction action = actions[r][next[r]++];
                    done.Add((action.IsForward, action.MicroBatch, (action.Part * ranks) + r));
                    moved = true;
                }
            }
        }

        Assert.All(Enumerable.Range(0, ranks), r => Assert.Equal(actions[r].Length, next[r]));
    }

    private static void AssertMask(VisibleKeys visible, AttentionTile tile, int window, IReadOnlyList<long> lengths, Random random)
    {
        float[] mask = visible.MaskOf(tile).contiguous().data<float>().ToArray();
        int DocumentOf(int token)
        {
            int document = 0;
            for (long end = lengths[0]; token >= end; end += lengths[document])
                document++;
            return document;
        }

        for (int i = 0; i < 300; i++)
        {
            int query = random.Next(tile.QueryCount), key = random.Next(tile.KeyCount);
            int q = tile.QueryStart + query, k = tile.KeyStart + key;
            Assert.Equal(k <= q && q - k < window && DocumentOf(q) == DocumentOf(k), mask[(query * tile.KeyCount) + key] == 0);
        }
    }
}
