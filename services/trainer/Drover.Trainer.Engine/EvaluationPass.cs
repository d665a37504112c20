using Drover.Formats.Datasets;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Collectives;
using Drover.Trainer.Model;
using Drover.Trainer.Parallelism;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine;

/// <summary>
/// Forward passes over held-out rows on the ranks of a run, whatever its layout: replicas share the micro-batches, stages hand them on,
/// and every block's weights are brought for its use as in training. Nothing is kept, no gradient is touched, no noise is added.
/// </summary>
internal sealed class EvaluationPass(LlamaConfig config, LlamaPart[] parts, IReadOnlyDictionary<BlockWeights, BlockState> states, RankGrid grid, EngineSpec spec)
{
    // What a replica runs that has no rows left while others have: gathers of weights are of all of them.
    private static readonly PackedRow Blank = new([0], [PackedRow.Ignored], [1]);
    private readonly Dictionary<int, Passage> _passages = [];

    /// <summary>Loss over some rows, the same on every rank. Every rank calls it with the same rows.</summary>
    public EvaluationSums Run(IRowSource rows, IReadOnlyList<long> ids, CancellationToken cancellation)
    {
        double loss = 0;
        long labels = 0;
        int size = spec.MicroBatchRows, batches = (ids.Count + size - 1) / size, mine = (batches + grid.Replicas - 1) / grid.Replicas;
        var links = new PipelineLinks(grid, parts.Length, parts[0].Device);
        foreach (PipelineAction action in PipelineSchedule.Of(spec.Parallel, grid.Pipeline.Rank, mine).Where(a => a.IsForward))
        {
            cancellation.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            if (!_passages.TryGetValue(action.MicroBatch, out Passage? passage))
                _passages[action.MicroBatch] = passage = NewPassage(rows, ids, ((action.MicroBatch * grid.Replicas) + grid.Coordinates.Data) * size);
            loss += Forward(action, passage, links);
            if (--passage.PartsLeft > 0)
                continue;
            labels += passage.MicroBatch.Rows.Sum(TokenBatch.CountLabels);
            passage.Dispose();
            _passages.Remove(action.MicroBatch);
        }

        links.Finish();
        // Every rank of a tensor group has the loss of its head whole; the ranks of a replica have the same rows.
        double[] sums = [grid.Tensor.Rank == 0 ? loss : 0, grid.Coordinates is { Pipeline: 0, Sequence: 0, Tensor: 0 } ? labels : 0];
        grid.World.AllReduceSum(sums);
        return new EvaluationSums(sums[0], (long)sums[1]);
    }

    private Passage NewPassage(IRowSource rows, IReadOnlyList<long> ids, int first)
    {
        long[] mine = [.. ids.Skip(first).Take(spec.MicroBatchRows)];
        PackedRow[] taken = mine.Length == 0 ? [Blank] : [.. mine.Select(rows.Read)];
        LanguageModel.CheckIds(config, taken);
        return new Passage(new MicroBatch(taken, mine), parts[0], spec.Parallel, grid.Coordinates, parts.Length) { PartsLeft = parts.Length };
    }

    private double Forward(PipelineAction action, Passage passage, PipelineLinks links)
    {
        LlamaPart part = parts[action.Part];
        Tensor x = part.Span.HasEmbedding
            ? Using([part.EmbeddingBlock], () => part.Embed(passage.Batch)).DetachFromDisposeScope()
            : links.ReceiveForward(passage.ResidualShape, part.Type, action.MicroBatch, action.Part);
        for (int i = 0; i < part.Layers.Count; i++)
        {
            if (i + 1 < part.Layers.Count)
                states[part.Layers[i + 1].Weights].Prefetch();
            DecoderLayer layer = part.Layers[i];
            Tensor input = x;
            x = Using([layer.Weights], () => layer.Forward(input, passage.Context, LayerParts.None).Output).DetachFromDisposeScope();
            input.Dispose();
        }

        if (!part.Span.HasHead)
        {
            links.SendForward(x, action.MicroBatch, action.Part);
            return 0;
        }

        using (x)
        {
            BlockWeights[] head = ReferenceEquals(part.HeadBlock, part.HeadMatrixBlock) ? [part.HeadBlock] : [part.HeadBlock, part.HeadMatrixBlock!];
            return Using(head, () => part.HeadLossOf(x, passage.Batch, spec.HeadChunkTokens, 1, null, null).Loss.item<double>());
        }
    }

    private T Using<T>(BlockWeights[] blocks, Func<T> work)
    {
        foreach (BlockWeights block in blocks)
            states[block].Acquire();
        T result = work();
        foreach (BlockWeights block in blocks)
            states[block].Release();
        return result;
    }
}
