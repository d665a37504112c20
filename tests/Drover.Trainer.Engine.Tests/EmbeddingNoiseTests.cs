using Drover.Formats.Datasets;
using Drover.Trainer.Collectives;
using static TorchSharp.torch;

namespace Drover.Trainer.Engine.Tests;

/// <summary>NEFTune: its size, and that it is the same on every layout.</summary>
public sealed class EmbeddingNoiseTests
{
    private static readonly EngineSpec Noisy = SmallRun.Spec with { MicroBatchRows = 2, NeftuneAlpha = 10 };

    [Fact]
    public void Noise_is_uniform_within_alpha_over_the_root_of_the_row_s_tokens_times_hidden()
    {
        using var scope = NewDisposeScope();
        var batch = new MicroBatch([RowOf(300), RowOf(20)], [7, 3]);
        Tensor noise = zeros(330, 64);
        new EmbeddingNoise(5, 1).AddTo(noise, batch, 0, 1);
        foreach ((int start, int length) in new[] { (0, 300), (300, 20) })
        {
            double bound = 5 / Math.Sqrt(length * 64);
            Tensor row = noise.narrow(0, start, length);
            Assert.InRange(row.abs().max().item<float>() / bound, 0.99, 1);
            Assert.InRange(row.mean().item<float>() / bound, -0.05, 0.05);
            // Of a uniform distribution: bound / sqrt(3).
            Assert.InRange(row.std().item<float>() / bound * Math.Sqrt(3), 0.97, 1.03);
        }

        Assert.Equal(0, noise.narrow(0, 320, 10).abs().max().item<float>());
    }

    [Fact]
    public void Noise_of_a_token_depends_on_seed_step_row_and_place_alone()
    {
        using var scope = NewDisposeScope();
        float[] Noise(long seed, long step, MicroBatch batch, int first, int count)
        {
            Tensor x = zeros(count, 8);
            new EmbeddingNoise(5, seed).AddTo(x, batch, first, step);
            return x.data<float>().ToArray();
        }

        MicroBatch two = new([RowOf(9), RowOf(12)], [4, 6]), alone = new([RowOf(12)], [6]), other = new([RowOf(12)], [5]);
        float[] expected = Noise(1, 1, alone, 3, 5);
        Assert.Equal(expected, Noise(1, 1, two, 9 + 3, 5));
        Assert.NotEqual(expected, Noise(2, 1, alone, 3, 5));
        Assert.NotEqual(expected, Noise(1, 2, alone, 3, 5));
        Assert.NotEqual(expected, Noise(1, 1, other, 3, 5));
        Assert.NotEqual(expected, Noise(1, 1, alone, 4, 5));
    }

    public static TheoryData<int, ParallelSpec> Layouts() => new()
    {
        { 2, new ParallelSpec { Placement = StatePlacement.Zero2 } },
        { 2, new ParallelSpec { TensorParallel = 2 } },
        { 2, new ParallelSpec { TensorParallel = 2, SequenceMode = SequenceMode.SplitGather } },
        { 2, new ParallelSpec { SequenceParallel = 2, SequenceMode = SequenceMode.Ring } },
        { 2, new ParallelSpec { SequenceParallel = 2, SequenceMode = SequenceMode.AllToAll } },
        { 2, new ParallelSpec { PipelineParallel = 2 } },
        { 4, new ParallelSpec { TensorParallel = 2, SequenceMode = SequenceMode.SplitGather, PipelineParallel = 2 } },
    };

    [Theory]
    [MemberData(nameof(Layouts))]
    public void Every_layout_trains_with_the_same_noise(int ranks, ParallelSpec layout)
    {
        StepResult[] one = SmallRun.Run(Noisy);
        var all = new StepResult[ranks][];
        ThreadRanks.Run(ranks, collectives => all[collectives.Rank] = SmallRun.Run(Noisy with { Parallel = layout, MicroBatchRows = 1 }, collectives: collectives));
        foreach (StepResult[] rank in all)
            SmallRun.AssertSame(one, rank);
    }

    [Fact]
    public void Recompute_runs_forward_again_with_the_same_noise() =>
        SmallRun.AssertSame(SmallRun.Run(Noisy), SmallRun.Run(Noisy with { Activations = ActivationSpec.Recomputed }));

    [Fact]
    public void Noise_changes_the_loss()
    {
        StepResult[] quiet = SmallRun.Run(Noisy with { NeftuneAlpha = 0 }), noisy = SmallRun.Run(Noisy);
        Assert.All(quiet.Zip(noisy), p => Assert.True(Math.Abs(p.First.Loss - p.Second.Loss) > 1e-3, $"{p.First.Loss} and {p.Second.Loss}"));
    }

    [Fact]
    public void A_run_that_goes_on_has_the_noise_of_one_that_never_stopped()
    {
        StepResult[] undisturbed = SmallRun.Run(Noisy, steps: 12);
        Dictionary<(string Kind, string Name), float[]> saved;
        using (TrainingEngine first = SmallRun.Engine(Noisy, SmallRun.Config))
        {
            for (int i = 0; i < 6; i++)
                first.Step();
            saved = SmallRun.StateOf(first);
        }

        using TrainingEngine second = SmallRun.Engine(Noisy, SmallRun.Config);
        second.LoadState(6, (slice, values) => saved[(slice.Kind, slice.Name)].CopyTo(values));
        Assert.Equal(undisturbed[6..].Select(s => s.Loss), Enumerable.Range(0, 6).Select(_ => second.Step().Loss));
    }

    private static PackedRow RowOf(int length) => new(new int[length], new int[length], [length]);
}
