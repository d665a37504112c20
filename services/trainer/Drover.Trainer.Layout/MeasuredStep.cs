namespace Drover.Trainer.Layout;

/// <summary>Seconds of a step of the same model with few layers, on the ranks of one stage: what a prediction starts from.</summary>
/// <param name="Layers">Of the small model.</param>
/// <param name="Forward">One micro-batch forward: embedding and layers.</param>
/// <param name="Backward">One micro-batch backward: head (forward and backward), layers (with recomputation), embedding.</param>
/// <param name="Rest">What is done once a step: rows, last reductions, norm, optimizer.</param>
public sealed record MeasuredStep(int Layers, double Forward, double Backward, double Rest)
{
    /// <summary>The same of another number of layers, by the line through two measurements.</summary>
    public static MeasuredStep At(int layers, MeasuredStep few, MeasuredStep more)
    {
        double Line(double a, double b) => few.Layers == more.Layers ? a : Math.Max(0, a + ((b - a) * (layers - few.Layers) / (more.Layers - few.Layers)));
        return new MeasuredStep(layers, Line(few.Forward, more.Forward), Line(few.Backward, more.Backward), Line(few.Rest, more.Rest));
    }
}

/// <summary>
/// Predicts the time of a step. Times are linear in the layers: two small models, measured with everything that their layout does at the
/// borders of blocks (gathers, sums, exchanges, moves), give the times of any number. A pipeline is played through by its schedule, every
/// part with the time of its layers, the first with the embedding, the last with the head.
/// </summary>
public static class StepPrediction
{
    /// <summary>Seconds of a step.</summary>
    /// <param name="spec">The layout.</param>
    /// <param name="few">A small model with the layout of one stage.</param>
    /// <param name="more">One with more layers.</param>
    public static double Seconds(LayoutSpec spec, MeasuredStep few, MeasuredStep more)
    {
        if (spec.Parallel.PipelineParallel == 1)
        {
            MeasuredStep all = MeasuredStep.At(spec.Config.NumHiddenLayers, few, more);
            return (spec.MicroBatches * (all.Forward + all.Backward + Again(spec, PartSpan.Whole(spec.Config), few, more))) + all.Rest;
        }

        MeasuredStep ends = MeasuredStep.At(0, few, more), one = MeasuredStep.At(1, few, more);
        double rest = Enumerable.Range(0, spec.Parallel.PipelineParallel).Max(rank => RestOf(spec, rank, ends, one));
        return Play(spec, (span, isForward) => isForward
            ? (span.HasEmbedding ? ends.Forward : 0) + (span.LayerCount * (one.Forward - ends.Forward))
            : (span.HasHead ? ends.Backward : 0) + (span.LayerCount * (one.Backward - ends.Backward)) + Again(spec, span, few, more)) + rest;
    }

    // Where only some layers are recomputed the small models recompute none: each of those layers runs forward once more.
    private static double Again(LayoutSpec spec, PartSpan span, MeasuredStep few, MeasuredStep more) => spec.Activations.Mode == RecomputeMode.Blocks
        ? Math.Clamp(spec.Activations.Blocks - span.FirstLayer, 0, span.LayerCount) * (MeasuredStep.At(1, few, more).Forward - MeasuredStep.At(0, few, more).Forward)
        : 0;

    // Embedding and head are of one size: each of their ranks has half of what both take.
    private static double RestOf(LayoutSpec spec, int rank, MeasuredStep ends, MeasuredStep one)
    {
        PartSpan[] spans = StageTable.PartsOf(spec.Config, rank, spec.Parallel);
        double share = (spans.Any(s => s.HasEmbedding) ? 0.5 : 0) + (spans.Any(s => s.HasHead) ? 0.5 : 0);
        return (share * ends.Rest) + (spans.Sum(s => s.LayerCount) * (one.Rest - ends.Rest));
    }

    // Every rank does its actions in order, each when the one that it needs of another rank is done.
    private static double Play(LayoutSpec spec, Func<PartSpan, bool, double> secondsOf)
    {
        int ranks = spec.Parallel.PipelineParallel, stages = ranks * spec.Parallel.PartsPerRank;
        PipelineAction[][] actions = [.. Enumerable.Range(0, ranks).Select(r => PipelineSchedule.Of(spec.Parallel, r, spec.MicroBatches).ToArray())];
        PartSpan[][] spans = [.. Enumerable.Range(0, ranks).Select(r => StageTable.PartsOf(spec.Config, r, spec.Parallel))];
        var done = new Dictionary<(bool IsForward, int MicroBatch, int Stage), double>();
        int[] next = new int[ranks];
        double[] clock = new double[ranks];
        while (next.Select((n, r) => n < actions[r].Length).Any(more => more))
        {
            for (int r = 0; r < ranks; r++)
            {
                while (next[r] < actions[r].Length && Needed(actions[r][next[r]], r, ranks, stages, done) is { } ready)
                {
                    PipelineAction action = actions[r][next[r]++];
                    clock[r] = Math.Max(clock[r], ready) + secondsOf(spans[r][action.Part], action.IsForward);
                    done[(action.IsForward, action.MicroBatch, (action.Part * ranks) + r)] = clock[r];
                }
            }
        }

        return clock.Max();
    }

    // When what an action needs is done; null while it is not.
    private static double? Needed(PipelineAction action, int rank, int ranks, int stages, Dictionary<(bool, int, int), double> done)
    {
        int stage = (action.Part * ranks) + rank;
        if (action.IsForward && stage == 0)
            return 0;
        (bool, int, int) key = action.IsForward ? (true, action.MicroBatch, stage - 1) : stage == stages - 1 ? (true, action.MicroBatch, stage) : (false, action.MicroBatch, stage + 1);
        return done.TryGetValue(key, out double at) ? at : null;
    }
}
