using Drover.Formats.Checkpoints;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Trainer.V1;
using Grpc.Core;

namespace Drover.Trainer.Tests;

/// <summary>Several trainings one after the other in one run.</summary>
public sealed class TrainingStageTests : IAsyncLifetime
{
    private TrainerWorld _world = null!;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _world = await TrainerWorld.StartAsync();
        await _world.WriteDatasetAsync("datasets/second", TrainerWorld.Vocabulary, "tiny-tokenizer");
    }

    public ValueTask DisposeAsync() => _world.DisposeAsync();

    [Fact]
    public async Task Stages_that_carry_everything_over_are_the_run_without_stages()
    {
        TrainingSpec whole = TrainerWorld.Spec("whole");
        TrainingSpec staged = Staged(
            "staged",
            new TrainingStage { Name = "one", Steps = 7, ScheduleCarry = ScheduleCarry.Continued },
            new TrainingStage { Name = "two", Steps = 13, ScheduleCarry = ScheduleCarry.Continued });
        Assert.Equal(await _world.TrainAsync(whole), await _world.TrainAsync(staged));
    }

    [Fact]
    public async Task Each_stage_has_its_rows_schedule_and_frozen_weights_and_a_killed_one_goes_on()
    {
        TrainingStage[] stages =
        [
            new() { Name = "words", Steps = 5, EmbeddingsOnly = true, LearningRate = 2e-3, Schedule = new ScheduleSpec { Kind = ScheduleKind.Constant } },
            new() { Name = "all", Epochs = 4, Dataset = "datasets/second", Moments = MomentCarry.Reset, Schedule = new ScheduleSpec { Kind = ScheduleKind.Linear, WarmupSteps = 2, MinLearningRateRatio = 0 } },
        ];
        // 96 rows, 8 a step.
        const int second = 48;
        string undisturbed = await _world.CreateAsync(Staged("undisturbed", stages));
        List<JobEvent> events = await _world.WatchAsync(undisturbed);
        TrainingJob job = await _world.GetAsync(undisturbed);
        Assert.True(job.Job.State == JobState.Succeeded, $"{job.Job.Failure?.Message}\n{_world.Logs()}");
        Assert.Equal(5 + second, job.Result.Steps);
        StepMetrics[] steps = [.. events.Where(e => e.StepMetrics is not null).Select(e => e.StepMetrics)];
        Assert.Equal(Enumerable.Range(1, 5 + second).Select(i => (long)i), steps.Select(s => s.Step));
        Assert.Equal([.. Enumerable.Repeat(2.0, 5), 0.5, 1, .. Enumerable.Range(1, 46).Select(i => Math.Round(1 - (i / 46.0), 9))], steps.Select(s => Math.Round(s.LearningRate / 1e-3, 9)));

        CheckpointReader first = await CheckpointReader.OpenAsync(_world.Store, RunKeys.Checkpoint("undisturbed", 5), Cancellation), last = await CheckpointReader.OpenAsync(_world.Store, job.Result.Checkpoint, Cancellation);
        Assert.All(await NormAsync(first), v => Assert.Equal(1, v));
        Assert.Contains(await NormAsync(last), v => v != 1);
        Assert.Equal("datasets/second", last.Manifest.Dataset);

        TrainingSpec spec = Staged("disturbed", stages);
        spec.CheckpointIntervalSteps = 1;
        string disturbed = await _world.CreateAsync(spec);
        bool isKilled = false;
        List<JobEvent> again = await _world.WatchAsync(disturbed, update =>
        {
            if (update.CheckpointCommitted is { Step: >= 9 } && !isKilled)
            {
                isKilled = true;
                _world.KillWorkers();
            }

            return Task.CompletedTask;
        });
        Assert.Equal(JobState.Succeeded, (await _world.GetAsync(disturbed)).Job.State);
        string[] starts = [.. again.Where(e => e.Log?.Message.StartsWith("Going on from", StringComparison.Ordinal) == true).Select(e => e.Log.Message)];
        Assert.Equal(2, starts.Length);
        Assert.Contains("step-00000005", starts[0], StringComparison.Ordinal);
        Assert.Equal(TrainerWorld.Losses(events), TrainerWorld.Losses(again));
    }

    [Fact]
    public async Task Wrong_stages_are_told_at_once_by_name()
    {
        TrainingSpec spec = Staged("wrong", new TrainingStage { Name = "a", Steps = 2, ScheduleCarry = ScheduleCarry.Continued, Schedule = new ScheduleSpec() }, new TrainingStage { Name = "b", Frozen = { "nothing.*" } });
        spec.Steps = 4;
        RpcException refused = await Assert.ThrowsAsync<RpcException>(() => _world.CreateAsync(spec));
        Assert.Equal(StatusCode.InvalidArgument, refused.StatusCode);
        Assert.All(["steps and epochs are the stages' to say", "stages[0] 'a': schedule_carry", "stages[1] 'b': steps and epochs are both 0", "nothing.*"], what => Assert.Contains(what, refused.Status.Detail, StringComparison.Ordinal));
    }

    private static TrainingSpec Staged(string name, params TrainingStage[] stages)
    {
        TrainingSpec spec = TrainerWorld.Spec(name);
        spec.Steps = 0;
        spec.Stages.Add(stages);
        return spec;
    }

    private static async Task<float[]> NormAsync(CheckpointReader checkpoint)
    {
        float[] norm = new float[32];
        await checkpoint.ReadAsync(LogicalTensor.Weight, "model.norm.weight", [0], [32], norm, Cancellation);
        return norm;
    }
}
