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
    /// A stage of the list embedding, layers, head. The head costs as much as the layers whose products its product equals, so the
    /// last stage has fewer layers, at least one; the others share the rest as evenly as they go.
    /// </summary>
    public static PartSpan StageOf(LlamaConfig config, int stage, int stages)
    {
        int layers = config.NumHiddenLayers, last = LayersOfLastStage(config, stages);
        if (stages == 1)
            return PartSpan.Whole(config);
        (int each, int more) = Math.DivRem(layers - last, stages - 1);
        int first = (stage * each) + Math.Min(stage, more);
        return stage == stages - 1
            ? new PartSpan(false, layers - last, last, true)
            : new PartSpan(stage == 0, first, each + (stage < more ? 1 : 0), false);
    }

    private static int LayersOfLastStage(LlamaConfig config, int stages)
    {
        if (stages == 1)
            return config.NumHiddenLayers;
        double layer = LlamaTensors.Layer(config).Where(w => w.Shape.Length == 2).Sum(w => (double)w.Shape[0] * w.Shape[1]);
        double head = (double)config.VocabSize * config.HiddenSize / layer;
        double Slowest(int last) => Math.Max(last + head, Math.Ceiling((config.NumHiddenLayers - last) / (stages - 1.0)));
        return Enumerable.Range(1, config.NumHiddenLayers - stages + 1).MinBy(Slowest);
    }
}
