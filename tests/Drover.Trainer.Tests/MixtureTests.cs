using Drover.Formats.Checkpoints;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Trainer.V1;
using Grpc.Core;

namespace Drover.Trainer.Tests;

/// <summary>Runs that read several datasets.</summary>
public sealed class MixtureTests : IAsyncLifetime
{
    private TrainerWorld _world = null!;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _world = await TrainerWorld.StartAsync();
        await _world.WriteDatasetAsync("datasets/more", TrainerWorld.Vocabulary, "tiny-tokenizer", stride: 5);
        await _world.WriteDatasetAsync("datasets/foreign", TrainerWorld.Vocabulary, "another-tokenizer");
    }

    public ValueTask DisposeAsync() => _world.DisposeAsync();

    [Fact]
    public async Task A_mixture_is_read_by_its_weights_and_a_killed_run_ends_with_the_losses_of_one_that_was_not()
    {
        TrainingSpec spec = Spec("mixed");
        string job = await _world.CreateAsync(spec);
        List<JobEvent> events = await _world.WatchAsync(job);
        TrainingJob done = await _world.GetAsync(job);
        Assert.True(done.Job.State == JobState.Succeeded, $"{done.Job.Failure?.Message}\n{_world.Logs()}");
        // One epoch: all rows of the first, half of the second.
        Assert.Equal((TrainerWorld.Rows + (TrainerWorld.Rows / 2) + 7) / 8, done.Result.Steps);
        CheckpointReader saved = await CheckpointReader.OpenAsync(_world.Store, done.Result.Checkpoint, Cancellation);
        Assert.Equal(done.Result.Steps * 8, saved.Manifest.RowsConsumed);

        TrainingSpec again = Spec("mixed-again");
        bool isKilled = false;
        string disturbed = await _world.CreateAsync(again);
        List<JobEvent> second = await _world.WatchAsync(disturbed, update =>
        {
            if (update.CheckpointCommitted is not null && !isKilled)
            {
                isKilled = true;
                _world.KillWorkers();
            }

            return Task.CompletedTask;
        });
        Assert.True(isKilled);
        Assert.Equal(TrainerWorld.Losses(events), TrainerWorld.Losses(second));
    }

    [Fact]
    public async Task A_mixture_that_cannot_be_read_together_is_refused()
    {
        TrainingSpec both = Spec("both");
        both.Dataset = TrainerWorld.Dataset;
        Assert.Contains("dataset and mixture are both given", (await Assert.ThrowsAsync<RpcException>(() => _world.CreateAsync(both))).Status.Detail, StringComparison.Ordinal);
        TrainingSpec foreign = Spec("foreign");
        foreign.Mixture.Add(new MixturePart { Dataset = "datasets/foreign" });
        Assert.Contains("different tokenizers", (await Assert.ThrowsAsync<RpcException>(() => _world.CreateAsync(foreign))).Status.Detail, StringComparison.Ordinal);
    }

    private static TrainingSpec Spec(string name)
    {
        TrainingSpec spec = TrainerWorld.Spec(name);
        (spec.Dataset, spec.Steps, spec.Epochs, spec.CheckpointIntervalSteps) = ("", 0, 1, 3);
        spec.Mixture.Add(new MixturePart { Dataset = TrainerWorld.Dataset });
        spec.Mixture.Add(new MixturePart { Dataset = "datasets/more", Weight = 0.5 });
        spec.MixtureBuckets = 2;
        return spec;
    }
}
