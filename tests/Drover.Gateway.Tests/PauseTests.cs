using Drover.Protocol;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Gateway.V1;
using Drover.Protocol.Trainer.V1;
using Grpc.Core;

namespace Drover.Gateway.Tests;

public sealed class PauseTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_paused_pipeline_holds_its_training_and_goes_on_when_it_is_resumed()
    {
        await using GatewayFixture gateway = await StartAsync();
        Pipeline created = await TrainAsync(gateway);
        Assert.Equal(1, (await gateway.Client.SavePipelineAsync(new SavePipelineRequest { Name = created.Job.Name }, cancellationToken: Cancellation)).Step);
        await PauseAsync(gateway, created);
        Pipeline paused = await gateway.GetAsync(created.Job.Name);
        Assert.Equal((JobState.Paused, JobState.Paused), (paused.Job.State, paused.Steps[0].State));
        Assert.Equal(JobState.Paused, await TrainingAsync(gateway, paused));
        RpcException nothing = await Assert.ThrowsAsync<RpcException>(async () => await gateway.Client.SavePipelineAsync(new SavePipelineRequest { Name = "jobs/none" }, cancellationToken: Cancellation));
        Assert.Equal(StatusCode.NotFound, nothing.StatusCode);

        gateway.Script.IsGated = false;
        await gateway.Client.ResumePipelineAsync(new ResumePipelineRequest { Name = created.Job.Name }, cancellationToken: Cancellation);
        List<PipelineEvent> events = await gateway.WatchAsync(created.Job.Name);
        Assert.Equal(JobState.Succeeded, (await gateway.GetAsync(created.Job.Name)).Job.State);
        Assert.Contains(events, e => e.Event.Log?.Message == "trains, attempt 2");
        Assert.Equal(Enumerable.Range(1, events.Count).Select(i => (long)i), events.Select(e => e.Revision));
    }

    [Fact]
    public async Task A_paused_pipeline_stays_so_when_the_gateway_starts_again_and_is_cancelled_with_its_training()
    {
        await using GatewayFixture gateway = await StartAsync();
        Pipeline created = await TrainAsync(gateway);
        await PauseAsync(gateway, created);
        await gateway.StopGatewayAsync();
        await gateway.StartGatewayAsync();
        Assert.Equal(JobState.Paused, (await gateway.GetAsync(created.Job.Name)).Job.State);

        await gateway.Client.CancelPipelineAsync(new CancelPipelineRequest { Name = created.Job.Name }, cancellationToken: Cancellation);
        await gateway.WatchAsync(created.Job.Name);
        Pipeline ended = await gateway.GetAsync(created.Job.Name);
        Assert.Equal((JobState.Cancelled, JobState.Cancelled), (ended.Job.State, ended.Steps[0].State));
        Assert.Equal(JobState.Cancelled, await TrainingAsync(gateway, ended));
    }

    [Fact]
    public async Task A_step_s_job_has_the_priority_of_its_pipeline_and_the_owner_of_its_key()
    {
        await using GatewayFixture gateway = await StartAsync();
        var headers = new Metadata { { CallHeaders.Priority, "-7" }, { CallHeaders.Owner, "somebody" } };
        Pipeline created = (await gateway.Client.CreatePipelineAsync(new CreatePipelineRequest { Spec = Spec() }, headers, cancellationToken: Cancellation)).Pipeline;
        Assert.Equal(-7, created.Job.Priority);
        await gateway.WatchAsync(created.Job.Name, 0, e => e.Event.Log is not null);
        TrainingJob training = (await gateway.Trainer.GetTrainingJobAsync(new GetTrainingJobRequest { Name = (await gateway.GetAsync(created.Job.Name)).Steps[0].Job }, cancellationToken: Cancellation)).Job;
        Assert.Equal((-7, created.Job.Owner), (training.Job.Priority, training.Job.Owner));
        var loud = new Metadata { { CallHeaders.Priority, "101" } };
        RpcException refused = await Assert.ThrowsAsync<RpcException>(async () => await gateway.Client.CreatePipelineAsync(new CreatePipelineRequest { Spec = Spec() }, loud, cancellationToken: Cancellation));
        Assert.Equal(StatusCode.InvalidArgument, refused.StatusCode);
    }

    private static async Task<GatewayFixture> StartAsync()
    {
        GatewayFixture gateway = await GatewayFixture.StartAsync(withTokenizer: false);
        await gateway.StartTrainerAsync();
        gateway.Script.IsGated = true;
        return gateway;
    }

    private static PipelineSpec Spec() => new()
    {
        Name = "learn",
        Steps = { new PipelineStep { Name = "train", Train = new TrainingSpec { Dataset = "datasets/d", Steps = 1 } } },
    };

    private static async Task<Pipeline> TrainAsync(GatewayFixture gateway)
    {
        Pipeline created = await gateway.CreateAsync(Spec());
        await gateway.WatchAsync(created.Job.Name, 0, e => e.Event.Log?.Message == "trains, attempt 1");
        return created;
    }

    private static async Task PauseAsync(GatewayFixture gateway, Pipeline pipeline)
    {
        await gateway.Client.PausePipelineAsync(new PausePipelineRequest { Name = pipeline.Job.Name }, cancellationToken: Cancellation);
        await gateway.WatchAsync(pipeline.Job.Name, 0, e => e is { Step: "", Event: { EventCase: JobEvent.EventOneofCase.StateChanged, StateChanged: JobState.Paused } });
    }

    private static async Task<JobState> TrainingAsync(GatewayFixture gateway, Pipeline pipeline) =>
        (await gateway.Trainer.GetTrainingJobAsync(new GetTrainingJobRequest { Name = pipeline.Steps[0].Job }, cancellationToken: Cancellation)).Job.Job.State;
}
