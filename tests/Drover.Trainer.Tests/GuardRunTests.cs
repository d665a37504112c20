using System.Globalization;
using Drover.Formats.Checkpoints;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Trainer.V1;
using Grpc.Core;

namespace Drover.Trainer.Tests;

/// <summary>The guard of a whole run: it goes back, names rows with their source, and does the same after a kill.</summary>
public sealed class GuardRunTests : IAsyncLifetime
{
    // One of step 41, and of none after it.
    private const int OddRow = 1;
    private TrainerWorld _world = null!;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _world = await TrainerWorld.StartAsync();
        await _world.WriteDatasetAsync("datasets/odd", TrainerWorld.Vocabulary, "tiny-tokenizer", stride: 0, oddRow: OddRow);
    }

    public ValueTask DisposeAsync() => _world.DisposeAsync();

    [Fact]
    public async Task A_spike_takes_the_run_back_to_its_checkpoint_and_on_with_other_rows()
    {
        (TrainingJob job, List<JobEvent> events) = await _world.RunAsync(Spec("back"));
        JobEvent told = Assert.Single(events, e => e.Log is { Severity: LogLine.Types.Severity.Warning });
        Assert.Contains($"{OddRow} (row {OddRow} of 'datasets/odd/data.arrow', 10 bytes from line 5 of 'inputs/a.jsonl')", told.Log.Message, StringComparison.Ordinal);
        CheckpointReader last = await CheckpointReader.OpenAsync(_world.Store, job.Result.Checkpoint, Cancellation);
        GuardState guard = last.Manifest.Guard!;
        Assert.Equal((60, 0), (job.Result.Steps, guard.SkippedSteps));
        Assert.Equal(5, guard.SkippedBatches);
        Assert.Equal((60 + 5) * 2, last.Manifest.RowsConsumed);

        // Killed after that: the rows that were left out stay left out.
        bool isKilled = false;
        (_, List<JobEvent> disturbed) = await _world.RunAsync(Spec("back-again"), update =>
        {
            isKilled |= Kill(update.CheckpointCommitted is { } saved && saved.Step > StepOf(told.Log.Message) && !isKilled);
        });
        Assert.True(isKilled);
        Assert.Equal(TrainerWorld.Losses(events), TrainerWorld.Losses(disturbed));
    }

    [Fact]
    public async Task A_policy_may_be_changed_for_a_run_that_stopped()
    {
        TrainingSpec spec = Spec("stops");
        spec.Guard.OnSpike = AnomalyPolicy.Stop;
        string stopped = await _world.CreateAsync(spec);
        await _world.WatchAsync(stopped);
        JobFailure failure = (await _world.GetAsync(stopped)).Job.Failure;
        Assert.Equal("LOSS_SPIKE", failure.Reason);
        Assert.Contains($"{OddRow} (row", failure.Message, StringComparison.Ordinal);

        spec.Guard.OnSpike = AnomalyPolicy.Skip;
        (TrainingJob job, List<JobEvent> events) = await _world.RunAsync(spec);
        Assert.Equal(1, job.LatestMetrics.SkippedSteps);
        Assert.Contains(events, e => e.Log?.Message.EndsWith("The update was skipped.", StringComparison.Ordinal) == true);
    }

    [Fact]
    public async Task A_guard_that_cannot_be_is_refused()
    {
        TrainingSpec spec = Spec("wrong");
        (spec.Guard.OnNotFinite, spec.Guard.WindowSteps) = (AnomalyPolicy.Warn, 1);
        RpcException refused = await Assert.ThrowsAsync<RpcException>(() => _world.CreateAsync(spec));
        Assert.Contains("on_not_finite is WARN", refused.Status.Detail, StringComparison.Ordinal);
        Assert.Contains("window_steps is 1", refused.Status.Detail, StringComparison.Ordinal);
    }

    private static TrainingSpec Spec(string name)
    {
        TrainingSpec spec = TrainerWorld.Spec(name);
        (spec.Dataset, spec.Steps, spec.CheckpointIntervalSteps, spec.GlobalBatchRows, spec.MicroBatchRows) = ("datasets/odd", 60, 6, 2, 1);
        (spec.Optimizer.LearningRate, spec.Schedule) = (0.02, new ScheduleSpec { Kind = ScheduleKind.Constant, WarmupSteps = 3 });
        spec.Guard = new GuardSpec { OnSpike = AnomalyPolicy.Rollback, WindowSteps = 32, Deviations = 8 };
        return spec;
    }

    private static long StepOf(string message) => long.Parse(message["Step ".Length..message.IndexOf(':', StringComparison.Ordinal)], CultureInfo.InvariantCulture);

    private bool Kill(bool now)
    {
        if (now)
            _world.KillWorkers();
        return now;
    }
}
