using Drover.Protocol.Common.V1;
using Drover.Protocol.Trainer.V1;

namespace Drover.Trainer.Tests;

public sealed class PausedTrainingTests : IAsyncLifetime
{
    private TrainerWorld _world = null!;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => _world = await TrainerWorld.StartAsync();

    public ValueTask DisposeAsync() => _world.DisposeAsync();

    [Fact]
    public async Task A_paused_training_saves_gives_its_cores_back_and_ends_with_the_loss_of_one_that_was_not()
    {
        TrainingSpec spec = TrainerWorld.Spec("paused");
        spec.Steps = 60;
        string job = await _world.CreateAsync(spec);
        TrainingJob? whole = null;
        List<JobEvent> events = await _world.WatchAsync(job, async update =>
        {
            if (update.StepMetrics is { Step: 3 })
            {
                await _world.Trainer.PauseTrainingJobAsync(new PauseTrainingJobRequest { Name = job }, cancellationToken: Cancellation);
            }
            else if (update.EventCase == JobEvent.EventOneofCase.StateChanged && update.StateChanged == JobState.Paused)
            {
                // It would wait for the cores of one that runs.
                TrainingSpec other = TrainerWorld.Spec("whole");
                other.Steps = 60;
                whole = (await _world.RunAsync(other)).Job;
                await _world.Trainer.ResumeTrainingJobAsync(new ResumeTrainingJobRequest { Name = job }, cancellationToken: Cancellation);
            }
        });
        TrainingJob ended = await _world.GetAsync(job);
        Assert.True(ended.Job.State == JobState.Succeeded, ended.Job.Failure?.Message);
        Assert.Equal(2, ended.Job.Attempt);
        long saved = events.First(e => e.CheckpointCommitted is not null).CheckpointCommitted.Step;
        Assert.InRange(saved, 3, 59);
        Assert.Equal(Enumerable.Range(1, 60).Select(i => (long)i), events.Where(e => e.StepMetrics is not null).Select(e => e.StepMetrics.Step));
        Assert.Equal(whole!.Result.LastLoss, ended.Result.LastLoss);
    }
}
