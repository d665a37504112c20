using Drover.Formats.Checkpoints;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Trainer.V1;

namespace Drover.Trainer.Tests;

/// <summary>Options of a spec arrive at the ranks, and what is of the state arrives in the checkpoint.</summary>
public sealed class TrainingOptionsTests : IAsyncLifetime
{
    private TrainerWorld _world = null!;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => _world = await TrainerWorld.StartAsync();

    public ValueTask DisposeAsync() => _world.DisposeAsync();

    [Fact]
    public async Task A_schedule_noise_and_frozen_weights_arrive_at_the_ranks()
    {
        TrainingSpec spec = TrainerWorld.Spec("options");
        (spec.NeftuneAlpha, spec.EmbeddingsOnly) = (5, true);
        spec.Schedule = new ScheduleSpec { Kind = ScheduleKind.Wsd, WarmupRatio = 0.2, DecayRatio = 0.25, DecayShape = DecayShape.Linear, MinLearningRateRatio = 0 };
        string name = await _world.CreateAsync(spec);
        List<JobEvent> events = await _world.WatchAsync(name);
        TrainingJob job = await _world.GetAsync(name);
        Assert.True(job.Job.State == JobState.Succeeded, $"{job.Job.Failure?.Message}\n{_world.Logs()}");
        double[] factors = [.. events.Where(e => e.StepMetrics is not null).Select(e => Math.Round(e.StepMetrics.LearningRate / 1e-3, 9))];
        Assert.Equal([0.25, 0.5, 0.75, .. Enumerable.Repeat(1.0, 12), 0.8, 0.6, 0.4, 0.2, 0], factors);

        CheckpointReader trained = await CheckpointReader.OpenAsync(_world.Store, job.Result.Checkpoint, Cancellation);
        float[] norm = new float[32], embedding = new float[64 * 32];
        await trained.ReadAsync(LogicalTensor.Weight, "model.norm.weight", [0], [32], norm, Cancellation);
        await trained.ReadAsync(LogicalTensor.FirstMoment, "model.embed_tokens.weight", [0, 0], [64, 32], embedding, Cancellation);
        Assert.All(norm, v => Assert.Equal(1, v));
        Assert.Contains(embedding, v => v != 0);
    }

    [Fact]
    public async Task A_run_in_fp16_goes_on_with_the_loss_scale_of_its_checkpoint()
    {
        // A scale that overflows at first: it comes down, which only the manifest can tell the second start.
        static TrainingSpec Fp16(string name)
        {
            TrainingSpec spec = TrainerWorld.Spec(name);
            (spec.Precision, spec.CheckpointIntervalSteps, spec.Steps) = (Precision.Fp16, 1, 60);
            spec.LossScale = new LossScaleSpec { Initial = 1 << 28, GrowthInterval = 7 };
            return spec;
        }

        string whole = await _world.CreateAsync(Fp16("undisturbed"));
        List<JobEvent> undisturbed = await _world.WatchAsync(whole);
        string disturbed = await _world.CreateAsync(Fp16("disturbed"));
        bool isKilled = false;
        List<JobEvent> events = await _world.WatchAsync(disturbed, update =>
        {
            if (update.CheckpointCommitted is { Step: >= 9 } && !isKilled)
            {
                isKilled = true;
                _world.KillWorkers();
            }

            return Task.CompletedTask;
        });
        TrainingJob job = await _world.GetAsync(disturbed);
        Assert.True(job.Job.State == JobState.Succeeded, $"{job.Job.Failure?.Message}\n{_world.Logs()}");
        Assert.Contains(events, e => e.Log?.Message.StartsWith("Going on from 'runs/disturbed/checkpoints/", StringComparison.Ordinal) == true);
        (long, double, double, long)[] expected = Steps(undisturbed);
        Assert.Equal(expected, Steps(events));
        Assert.InRange(expected[^1].Item4, 2, 40);
        CheckpointReader last = await CheckpointReader.OpenAsync(_world.Store, job.Result.Checkpoint, Cancellation);
        Assert.Equal(expected[^1].Item4, last.Manifest.LossScale?.SkippedSteps);
    }

    private static (long Step, double Loss, double Scale, long Skipped)[] Steps(IEnumerable<JobEvent> events) =>
        [.. events.Where(e => e.StepMetrics is not null).GroupBy(e => e.StepMetrics.Step).OrderBy(g => g.Key).Select(g => g.Last().StepMetrics).Select(s => (s.Step, s.Loss, s.LossScale, s.SkippedSteps))];
}
