using Drover.Formats.Checkpoints;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Trainer.V1;
using Drover.Testing;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;

namespace Drover.Trainer.Tests;

/// <summary>When checkpoints are made, which stay, and what a run that goes on from one holds itself against.</summary>
public sealed class SavingTests : IAsyncLifetime
{
    private TrainerWorld _world = null!;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => _world = await TrainerWorld.StartAsync();

    public ValueTask DisposeAsync() => _world.DisposeAsync();

    [Fact]
    public async Task A_save_that_is_asked_for_is_made_at_once_and_retention_keeps_the_newest()
    {
        TrainingSpec spec = TrainerWorld.Spec("asked");
        (spec.Steps, spec.CheckpointIntervalSteps, spec.Retention) = (60, 25, new RetentionSpec { KeepLast = 2 });
        string job = await _world.CreateAsync(spec);
        bool asked = false;
        List<JobEvent> events = await _world.WatchAsync(job, async update =>
        {
            if (update.StepMetrics is null || asked)
                return;
            asked = true;
            await _world.Trainer.SaveTrainingJobAsync(new SaveTrainingJobRequest { Name = job }, cancellationToken: Cancellation);
        });
        Assert.Equal(JobState.Succeeded, (await _world.GetAsync(job)).Job.State);
        CheckpointCommitted[] saved = [.. events.Where(e => e.CheckpointCommitted is not null).Select(e => e.CheckpointCommitted)];
        Assert.Contains(saved, s => s.Step % 25 != 0 && s.Step != 60);
        Assert.All(saved, s => Assert.True(s is { SizeBytes: > 0, WriteSeconds: > 0, StalledSeconds: >= 0 }));
        ListCheckpointsResponse left = await _world.Checkpoints.ListCheckpointsAsync(new ListCheckpointsRequest { Run = "asked" }, cancellationToken: Cancellation);
        Assert.Equal(saved.TakeLast(2).Select(s => s.Step), left.Checkpoints.Select(c => c.Step));
        RpcException ended = await Assert.ThrowsAsync<RpcException>(async () => await _world.Trainer.SaveTrainingJobAsync(new SaveTrainingJobRequest { Name = job }, cancellationToken: Cancellation));
        Assert.Equal(StatusCode.FailedPrecondition, ended.StatusCode);
    }

    [Fact]
    public async Task A_checkpoint_is_made_when_the_time_is_up()
    {
        TrainingSpec spec = TrainerWorld.Spec("timed");
        (spec.Steps, spec.CheckpointIntervalSeconds) = (100_000, 1);
        string job = await _world.CreateAsync(spec);
        await _world.WatchAsync(job, async update =>
        {
            // By nothing but time: the run would go on for long.
            if (update.CheckpointCommitted is not null)
                await _world.Trainer.CancelTrainingJobAsync(new CancelTrainingJobRequest { Name = job }, cancellationToken: Cancellation);
        });
        Assert.Equal(JobState.Cancelled, (await _world.GetAsync(job)).Job.State);
    }

    [Fact]
    public async Task A_service_that_is_told_to_stop_saves_first_and_the_next_one_goes_on_there()
    {
        int port = LoopbackPort.Free();
        string[] arguments = [.. _world.Arguments, $"--Services:trainer=http://127.0.0.1:{port}", $"--Jobs:DatabasePath={Path.Combine(_world.Work, "other.db")}"];
        using var channel = GrpcChannel.ForAddress($"http://127.0.0.1:{port}");
        var trainer = new TrainerService.TrainerServiceClient(channel);
        TrainingSpec spec = TrainerWorld.Spec("stopped");
        spec.Steps = 150;
        string job;
        await using (WebApplication first = TrainerModule.Build(arguments))
        {
            await first.StartAsync(Cancellation);
            job = (await trainer.CreateTrainingJobAsync(new CreateTrainingJobRequest { Spec = spec }, cancellationToken: Cancellation)).Job.Job.Name;
            using var watch = trainer.WatchTrainingJob(new WatchTrainingJobRequest { Name = job }, cancellationToken: Cancellation);
            while (await watch.ResponseStream.MoveNext(Cancellation) && watch.ResponseStream.Current.Event.StepMetrics is null)
            {
                // Until it trains; it saves at its end only.
            }

            await first.StopAsync(Cancellation);
        }

        Protocol.Checkpoint.V1.Checkpoint saved = (await _world.Checkpoints.GetLatestCheckpointAsync(new GetLatestCheckpointRequest { Run = "stopped" }, cancellationToken: Cancellation)).Checkpoint;
        Assert.InRange(saved.Step, 1, 149);
        await using WebApplication second = TrainerModule.Build(arguments);
        await second.StartAsync(Cancellation);
        var messages = new List<string>();
        using (var watch = trainer.WatchTrainingJob(new WatchTrainingJobRequest { Name = job }, new CallOptions(cancellationToken: Cancellation).WithWaitForReady()))
        {
            while (await watch.ResponseStream.MoveNext(Cancellation))
                messages.Add(watch.ResponseStream.Current.Event.Log?.Message ?? "");
        }

        Assert.Contains($"Going on from '{saved.Name}'.", messages);
        Assert.Equal(JobState.Succeeded, (await trainer.GetTrainingJobAsync(new GetTrainingJobRequest { Name = job }, cancellationToken: Cancellation)).Job.Job.State);
        await second.StopAsync(Cancellation);
    }

    [Fact]
    public async Task A_checkpoint_that_cannot_be_written_is_told_and_training_goes_on()
    {
        TrainingSpec spec = TrainerWorld.Spec("blocked");
        spec.CheckpointIntervalSteps = 8;
        // Where the folder of step 8 should be there is a file.
        await _world.Store.PutTextAsync(RunKeys.Checkpoint("blocked", 8), "in the way", Cancellation);
        (TrainingJob job, List<JobEvent> events) = await _world.RunAsync(spec);
        Assert.Equal([16, 20], events.Where(e => e.CheckpointCommitted is not null).Select(e => e.CheckpointCommitted.Step));
        string told = Assert.Single(events, e => e.Log?.Severity == LogLine.Types.Severity.Warning).Log.Message;
        Assert.Contains("The checkpoint of step 8 was not written", told, StringComparison.Ordinal);
        Assert.Equal((1, 20), (job.Job.Attempt, job.Result.Steps));
    }

    [Fact]
    public async Task A_run_that_goes_on_holds_the_next_batch_against_what_was_saved()
    {
        TrainingSpec spec = TrainerWorld.Spec("checked");
        spec.Steps = 6;
        await _world.TrainAsync(spec);
        string name = RunKeys.Checkpoint("checked", 6);
        CheckpointManifest manifest = (await CheckpointReader.OpenAsync(_world.Store, name, Cancellation)).Manifest;
        NextBatchState next = manifest.NextBatch!;
        Assert.Equal(("fp32", 8), (next.Precision, next.CheckedRows));

        // The same run, longer, from a checkpoint that says something else of it.
        await GoesOnAsync(next, null);
        await GoesOnAsync(next with { Rows = new string('0', 64), FirstRow = 1_000_000 }, "began with row 1000000");
        await GoesOnAsync(next with { Loss = next.Loss * 1.001 }, "are not what was saved");
        await GoesOnAsync(null, null);

        async Task GoesOnAsync(NextBatchState? said, string? refusal)
        {
            byte[] bytes = System.Text.Json.JsonSerializer.SerializeToUtf8Bytes(manifest with { NextBatch = said }, CheckpointManifestJson.Default.CheckpointManifest);
            await _world.Store.PutBytesAsync($"{name}/{CheckpointManifest.FileName}", bytes, PutCondition.None, Cancellation);
            await _world.Store.PutTextAsync("runs/checked/spec.json", await LongerAsync(), Cancellation);
            TrainingSpec longer = spec.Clone();
            longer.Steps = 8;
            string job = await _world.CreateAsync(longer);
            await _world.WatchAsync(job);
            TrainingJob ended = await _world.GetAsync(job);
            if (refusal is null)
            {
                Assert.True(ended.Job.State == JobState.Succeeded, ended.Job.Failure?.Message);
                Assert.Equal(8, ended.Result.Steps);
                await _world.Checkpoints.DeleteCheckpointAsync(new DeleteCheckpointRequest { Name = RunKeys.Checkpoint("checked", 8) }, cancellationToken: Cancellation);
            }
            else
            {
                Assert.Equal(JobState.Failed, ended.Job.State);
                Assert.Contains(refusal, ended.Job.Failure.Message, StringComparison.Ordinal);
            }
        }

        // What a run is was written down with its number of steps.
        async Task<string> LongerAsync() => (await _world.Store.ReadTextAsync("runs/checked/spec.json", Cancellation)).Replace("\"steps\": \"6\"", "\"steps\": \"8\"", StringComparison.Ordinal);
    }
}
