using Drover.Formats.Checkpoints;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.Common.V1;
using Grpc.Core;

namespace Drover.Checkpoint.Tests;

/// <summary>What stays of a run and what goes: retention, tags, deletion, garbage.</summary>
public sealed class RunKeepingTests : IAsyncLifetime
{
    private RunningService _service = null!;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => _service = await RunningService.StartAsync();

    public ValueTask DisposeAsync() => _service.DisposeAsync();

    [Fact]
    public async Task The_newest_every_nth_the_tagged_and_the_referred_to_stay_and_the_others_go()
    {
        for (int step = 1; step <= 6; step++)
            await _service.PublishAsync("r", step);
        await _service.Client.TagCheckpointAsync(new TagCheckpointRequest { Checkpoint = RunKeys.Checkpoint("r", 1), Tag = "keep" }, cancellationToken: Cancellation);
        await _service.Store.PutTextAsync("runs/other/spec.json", $$"""{"checkpoint":"{{RunKeys.Checkpoint("r", 2)}}"}""", Cancellation);
        var request = new SetRetentionRequest { Run = "r", Retention = new RetentionSpec { KeepLast = 1, KeepEverySteps = 4 }, DryRun = true };
        Removal told = (await _service.Client.SetRetentionAsync(request, cancellationToken: Cancellation)).Removal;
        await HasStepsAsync(1, 2, 3, 4, 5, 6);
        request.DryRun = false;
        Assert.Equal(told, (await _service.Client.SetRetentionAsync(request, cancellationToken: Cancellation)).Removal);
        Assert.Equal([RunKeys.Checkpoint("r", 5), RunKeys.Checkpoint("r", 3)], told.Names);
        await HasStepsAsync(1, 2, 4, 6);

        // And from now on after each publication.
        await _service.PublishAsync("r", 7);
        await HasStepsAsync(1, 2, 4, 7);
        Run run = (await _service.Client.GetRunAsync(new GetRunRequest { Run = "r" }, cancellationToken: Cancellation)).Run;
        Assert.Equal((4, 7L, 0L, 1), (run.CheckpointCount, run.LatestStep, run.GarbageBytes, run.Retention.KeepLast));
        Assert.Equal("keep", Assert.Single(run.Tags).Tag);
        Assert.Equal(await BytesAsync("runs/r/checkpoints/step-"), run.CheckpointBytes);
    }

    [Fact]
    public async Task A_damaged_checkpoint_does_not_count_as_one_that_is_kept()
    {
        for (int step = 1; step <= 4; step++)
            await _service.PublishAsync("r", step);
        await _service.Store.DeleteAsync($"{RunKeys.Checkpoint("r", 4)}/shard-00000.safetensors", Cancellation);
        await _service.Client.SetRetentionAsync(new SetRetentionRequest { Run = "r", Retention = new RetentionSpec { KeepLast = 1 } }, cancellationToken: Cancellation);
        Assert.Equal(3, (await _service.Client.GetLatestCheckpointAsync(new GetLatestCheckpointRequest { Run = "r" }, cancellationToken: Cancellation)).Checkpoint.Step);
        await HasStepsAsync(3, 4);
    }

    [Fact]
    public async Task Garbage_is_what_no_manifest_names_and_never_a_save_that_may_be_under_way()
    {
        await _service.PublishAsync("r", 1);
        await _service.WriteCheckpointAsync("r", 2);
        await _service.Store.PutTextAsync($"{RunKeys.Checkpoint("r", 2)}/shard-00009.safetensors", "cut off", Cancellation);
        // The save of step 3 goes through: what is before it will never be published.
        await _service.PublishAsync("r", 3);
        Assert.Equal(0, await BytesAsync(RunKeys.Checkpoint("r", 2) + "/"));
        await _service.Store.PutTextAsync($"{RunKeys.Checkpoint("r", 3)}/shard-00009.safetensors", "of a save with more ranks", Cancellation);
        await _service.WriteCheckpointAsync("r", 4);

        var request = new CollectGarbageRequest { DryRun = true };
        Removal told = (await _service.Client.CollectGarbageAsync(request, cancellationToken: Cancellation)).Removal;
        Assert.Equal([$"{RunKeys.Checkpoint("r", 3)}/shard-00009.safetensors"], told.Names);
        request.DryRun = false;
        Assert.Equal(told, (await _service.Client.CollectGarbageAsync(request, cancellationToken: Cancellation)).Removal);
        Assert.True(await BytesAsync(RunKeys.Checkpoint("r", 4) + "/") > 0);
        request.IncludeUnpublished = true;
        Assert.Equal([RunKeys.Checkpoint("r", 4)], (await _service.Client.CollectGarbageAsync(request, cancellationToken: Cancellation)).Removal.Names);
        await HasStepsAsync(1, 3);
        foreach (int step in (int[])[1, 3])
            Assert.True((await _service.Client.VerifyCheckpointAsync(new VerifyCheckpointRequest { Name = RunKeys.Checkpoint("r", step) }, cancellationToken: Cancellation)).Intact);
        Assert.Empty((await _service.Client.CollectGarbageAsync(request, cancellationToken: Cancellation)).Removal.Names);
    }

    [Fact]
    public async Task Deletion_is_refused_while_something_needs_it_and_a_dry_run_removes_nothing()
    {
        string name = await _service.PublishAsync("r", 1);
        await _service.Client.TagCheckpointAsync(new TagCheckpointRequest { Checkpoint = name, Tag = "v1" }, cancellationToken: Cancellation);
        async Task RefusedAsync(string why)
        {
            Status status = await RunningService.StatusOf(async () => await _service.Client.DeleteCheckpointAsync(new DeleteCheckpointRequest { Name = name }, cancellationToken: Cancellation));
            Assert.Equal(StatusCode.FailedPrecondition, status.StatusCode);
            Assert.Contains(why, status.Detail, StringComparison.Ordinal);
        }

        await RefusedAsync("the tag v1");
        await _service.Client.UntagCheckpointAsync(new UntagCheckpointRequest { Run = "r", Tag = "v1" }, cancellationToken: Cancellation);
        await _service.Store.PutTextAsync("runs/other/spec.json", $$"""{"checkpoint":"{{name}}"}""", Cancellation);
        await RefusedAsync("the run other");
        Status ofRun = await RunningService.StatusOf(async () => await _service.Client.DeleteRunAsync(new DeleteRunRequest { Run = "r" }, cancellationToken: Cancellation));
        Assert.Contains("the run other", ofRun.Detail, StringComparison.Ordinal);
        await _service.Client.DeleteRunAsync(new DeleteRunRequest { Run = "other" }, cancellationToken: Cancellation);
        Removal told = (await _service.Client.DeleteCheckpointAsync(new DeleteCheckpointRequest { Name = name, DryRun = true }, cancellationToken: Cancellation)).Removal;
        await HasStepsAsync(1);
        Assert.Equal(told, (await _service.Client.DeleteCheckpointAsync(new DeleteCheckpointRequest { Name = name }, cancellationToken: Cancellation)).Removal);
        Assert.Equal(0, await BytesAsync(name + "/"));
    }

    [Fact]
    public async Task A_model_that_a_run_began_from_stays()
    {
        string checkpoint = await _service.PublishAsync("r", 1);
        await _service.ExportWellAsync(new ExportSpec { Name = "m", Checkpoint = checkpoint });
        await _service.Store.PutTextAsync("runs/adapter/spec.json", """{"baseModel":"models/m","lora":{"rank":4}}""", Cancellation);
        Status status = await RunningService.StatusOf(async () => await _service.Client.DeleteModelAsync(new DeleteModelRequest { Name = "models/m" }, cancellationToken: Cancellation));
        Assert.Contains("the run adapter", status.Detail, StringComparison.Ordinal);
        await _service.Client.DeleteRunAsync(new DeleteRunRequest { Run = "adapter" }, cancellationToken: Cancellation);
        await _service.Client.DeleteModelAsync(new DeleteModelRequest { Name = "models/m" }, cancellationToken: Cancellation);
        Assert.Empty((await _service.Client.ListModelsAsync(new ListModelsRequest(), cancellationToken: Cancellation)).Models);
    }

    [Theory]
    [InlineData("latest")]
    [InlineData("step-5")]
    [InlineData("12")]
    [InlineData("a/b")]
    [InlineData("..")]
    [InlineData("")]
    public async Task A_tag_that_could_be_something_else_is_refused(string tag)
    {
        string name = await _service.PublishAsync("r", 1);
        Status status = await RunningService.StatusOf(async () => await _service.Client.TagCheckpointAsync(new TagCheckpointRequest { Checkpoint = name, Tag = tag }, cancellationToken: Cancellation));
        Assert.Equal(StatusCode.InvalidArgument, status.StatusCode);
    }

    private async Task HasStepsAsync(params long[] steps)
    {
        ListCheckpointsResponse answer = await _service.Client.ListCheckpointsAsync(new ListCheckpointsRequest { Run = "r" }, cancellationToken: Cancellation);
        Assert.Equal(steps, answer.Checkpoints.Select(c => c.Step));
    }

    private async Task<long> BytesAsync(string prefix)
    {
        long bytes = 0;
        await foreach (ObjectInfo info in _service.Store.ListAsync(prefix, Cancellation))
            bytes += info.Size;
        return bytes;
    }
}
