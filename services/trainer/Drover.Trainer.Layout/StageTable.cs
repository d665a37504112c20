using Drover.Formats.HuggingFace;

namespace Drover.Trainer.Layout;

/// <summary>Which blocks sit on which rank of a pipeline. Stages follow each other over the ranks, then over again (interleaved).</summary>
public static class StageTable
{
    /// <summary>The parts of a rank, in their order: part p of rank r is stage p * ranks + r.</summary>
    public static PartSpan[] PartsOf(LlamaConfig config, int rank, ParallelSpec spec)
    {
        int stages = spec.PipelineParallel * spec.PartsPerRank;
        return [.. Enumerable.Range(0, spec.PartsPerRank).Select(p => StageOf(config, (p * spec.PipelineParallel) + rank, stages))];
    }

    /// <summary>
    /// A stage of the list embedding, layers, head. Layers are dealt as evenly as they go; where they do not, the stages in
    /// the middle have one more, since the ends have embedding and head.
    /// </summary>
    public static PartSpan StageOf(LlamaConfig config, int stage, int stages)
    {
        (int each, int more) = Math.DivRem(config.NumHiddenLayers, stages);
        int firstLonger = Math.Max(0, Math.Min(stages - 1 - more, (stages - more + 1) / 2));
        int Count(int s) => each + (s >= firstLonger && s < firstLonger + more ? 1 : 0);
        int first = Enumerable.Range(0, stage).Sum(Count);
        return new PartSpan(stage == 0, first, Count(stage), stage == stages - 1);
    }
}
