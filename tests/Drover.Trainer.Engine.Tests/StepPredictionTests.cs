namespace Drover.Trainer.Engine.Tests;

/// <summary>The arithmetic of a prediction, on times that are known.</summary>
public class StepPredictionTests
{
    // A layer takes 1 forward and 2 backward, the embedding 0.5, the head 10; once a step 1 a layer and 4 for the ends.
    private static readonly MeasuredStep Few = new(1, 1.5, 12, 5), More = new(3, 3.5, 16, 7);

    [Fact]
    public void Times_of_one_rank_are_linear_in_layers_and_micro_batches() =>
        Assert.Equal((5 * (8.5 + 26)) + 12, StepPrediction.Seconds(Layout(new ParallelSpec(), 5), Few, More), 1e-9);

    [Fact]
    public void A_layer_that_alone_is_recomputed_runs_forward_once_more() =>
        Assert.Equal((5 * (8.5 + 26 + 3)) + 12, StepPrediction.Seconds(Layout(new ParallelSpec(), 5, activations: new ActivationSpec { Mode = RecomputeMode.Blocks, Blocks = 3 }), Few, More), 1e-9);

    [Fact]
    public void A_pipeline_of_equal_stages_waits_for_its_bubble()
    {
        // Stages of the same time: the formula (m + p - 1) holds.
        MeasuredStep few = new(1, 1, 2, 0), more = new(3, 3, 6, 0);
        double seconds = StepPrediction.Seconds(Layout(new ParallelSpec { PipelineParallel = 4 }, 6, vocabulary: 2), few, more);
        Assert.Equal((6 + 4 - 1) * 2 * 3, seconds, 1e-9);
    }

    [Fact]
    public void A_pipeline_is_as_slow_as_its_slowest_stage_and_interleaving_shortens_its_bubble()
    {
        double whole = StepPrediction.Seconds(Layout(new ParallelSpec(), 4), Few, More), cut = StepPrediction.Seconds(Layout(new ParallelSpec { PipelineParallel = 2 }, 4), Few, More);
        Assert.InRange(cut, whole / 2, whole);
        MeasuredStep few = new(1, 1, 2, 0), more = new(3, 3, 6, 0);
        Assert.True(StepPrediction.Seconds(Layout(new ParallelSpec { PipelineParallel = 2, PartsPerRank = 2 }, 4, vocabulary: 2), few, more) < StepPrediction.Seconds(Layout(new ParallelSpec { PipelineParallel = 2 }, 4, vocabulary: 2), few, more));
    }

    private static LayoutSpec Layout(ParallelSpec parallel, int microBatches, int vocabulary = 97, ActivationSpec? activations = null) =>
        new(SmallRun.Config with { NumHiddenLayers = 8, VocabSize = vocabulary }, parallel, parallel.RanksPerReplica, 4, 64, microBatches, activations ?? new ActivationSpec(), 0);
}
