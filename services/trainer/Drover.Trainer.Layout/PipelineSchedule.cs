namespace Drover.Trainer.Layout;

/// <summary>One pass of one micro-batch through one part of this rank.</summary>
/// <param name="IsForward">Else backward.</param>
/// <param name="MicroBatch">Which, from 0.</param>
/// <param name="Part">Of this rank, from 0.</param>
public readonly record struct PipelineAction(bool IsForward, int MicroBatch, int Part);

/// <summary>The order in which a rank of a pipeline does the passes of a step.</summary>
public static class PipelineSchedule
{
    /// <summary>The actions of a rank. Every micro-batch passes every part forward once and backward once.</summary>
    public static IReadOnlyList<PipelineAction> Of(ParallelSpec spec, int rank, int microBatches)
    {
        if (spec.PartsPerRank > 1)
            return Interleaved(rank, spec.PipelineParallel, spec.PartsPerRank, microBatches);
        return spec.PipelineOrder == PipelineOrder.GPipe
            ? [.. Enumerable.Range(0, microBatches).Select(m => new PipelineAction(true, m, 0)), .. Enumerable.Range(0, microBatches).Select(m => new PipelineAction(false, m, 0))]
            : Weave(Math.Min(spec.PipelineParallel - rank - 1, microBatches), microBatches, i => (i, 0), i => (i, 0));
    }

    /// <summary>
    /// Interleaved 1F1B (Narayanan et al., 2021): groups of as many micro-batches as there are ranks go through part 0, then part 1, ...
    /// A last, smaller group is allowed: it goes through all parts by itself.
    /// </summary>
    private static List<PipelineAction> Interleaved(int rank, int ranks, int parts, int microBatches)
    {
        List<(int MicroBatch, int Part)> order = [];
        for (int start = 0; start < microBatches; start += ranks)
        {
            for (int part = 0; part < parts; part++)
            {
                for (int m = start; m < Math.Min(start + ranks, microBatches); m++)
                    order.Add((m, part));
            }
        }

        List<(int MicroBatch, int Part)> backward = [];
        for (int start = 0; start < microBatches; start += ranks)
        {
            for (int part = parts - 1; part >= 0; part--)
            {
                for (int m = start; m < Math.Min(start + ranks, microBatches); m++)
                    backward.Add((m, part));
            }
        }

        // Whole groups only: with a smaller one the pattern of 1F1B would wait in a circle, so then all go forward first.
        int warmUp = microBatches % ranks == 0 ? Math.Min(((ranks - rank - 1) * 2) + ((parts - 1) * ranks), order.Count) : order.Count;
        return Weave(warmUp, order.Count, i => order[i], i => backward[i]);
    }

    // Some forward, then one forward and one backward in turn, then what is left backward.
    private static List<PipelineAction> Weave(int warmUp, int count, Func<int, (int MicroBatch, int Part)> forward, Func<int, (int MicroBatch, int Part)> backward)
    {
        var actions = new List<PipelineAction>(2 * count);
        void Add(bool isForward, (int MicroBatch, int Part) what) => actions.Add(new PipelineAction(isForward, what.MicroBatch, what.Part));
        for (int i = 0; i < warmUp; i++)
            Add(true, forward(i));
        for (int i = 0; i < count; i++)
        {
            if (warmUp + i < count)
                Add(true, forward(warmUp + i));
            Add(false, backward(i));
        }

        return actions;
    }
}
