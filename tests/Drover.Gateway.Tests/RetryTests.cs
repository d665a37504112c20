using Drover.Errors;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Gateway.V1;
using Grpc.Core;

namespace Drover.Gateway.Tests;

public sealed class RetryTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_retry_takes_finished_steps_over_and_does_the_others_once()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync();
        Pipeline failed = await FailAsync(gateway);
        gateway.Script.Failure = null;

        Pipeline again = await RetryAsync(gateway, failed, "r", "");
        Assert.Equal(again.Job.Name, (await RetryAsync(gateway, failed, "r", "")).Job.Name);
        List<PipelineEvent> events = await gateway.WatchAsync(again.Job.Name);
        Pipeline ended = await gateway.GetAsync(again.Job.Name);
        Assert.Equal(JobState.Succeeded, ended.Job.State);
        Assert.Equal(failed.Steps[0].Job, ended.Steps[0].Job);
        Assert.Equal("tokenizers/two-learn", ended.Steps[0].Outputs["tokenizer"]);
        Assert.Contains(events, e => e.Event.Log?.Message == $"Taken over from {failed.Job.Name}: learn.");
        Assert.DoesNotContain(events, e => e.Step == "learn");
        Assert.Equal(3, (await gateway.TokenizerJobsAsync()).Count);
    }

    [Fact]
    public async Task A_retry_from_the_first_step_does_all_of_it_again()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync();
        Pipeline failed = await FailAsync(gateway);
        gateway.Script.Failure = null;
        Pipeline again = await RetryAsync(gateway, failed, "", "learn");
        await gateway.WatchAsync(again.Job.Name);
        Assert.Equal(4, (await gateway.TokenizerJobsAsync()).Count);
    }

    [Fact]
    public async Task What_cannot_be_retried_is_refused_with_the_reason()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync();
        Pipeline failed = await FailAsync(gateway);
        await ExpectAsync(StatusCode.InvalidArgument, "from_step 'fly' is no step; there are learn, grow", () => RetryAsync(gateway, failed, "", "fly"));
        await ExpectAsync(StatusCode.NotFound, "jobs/none", () => RetryAsync(gateway, new Pipeline { Job = new Job { Name = "jobs/none" } }, "", ""));
        PipelineSpec other = gateway.TwoSteps();
        other.Steps[0].TrainTokenizer.VocabularySize = 400;
        other.Retry = new RetrySource { Pipeline = failed.Job.Name, FromStep = "grow" };
        await ExpectAsync(StatusCode.FailedPrecondition, "Step 'learn' is not the one", () => gateway.CreateAsync(other));

        gateway.Script.IsGated = true;
        gateway.Script.Failure = null;
        Pipeline running = await gateway.CreateAsync(gateway.TwoSteps());
        await ExpectAsync(StatusCode.FailedPrecondition, "has not ended", () => RetryAsync(gateway, running, "", ""));
    }

    [Fact]
    public async Task Pipelines_are_listed_by_state_page_by_page()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync();
        for (int i = 0; i < 3; i++)
            await FailAsync(gateway);
        gateway.Script.Failure = null;
        Pipeline well = await gateway.CreateAsync(gateway.TwoSteps());
        await gateway.WatchAsync(well.Job.Name);

        var request = new ListPipelinesRequest { PageSize = 2, States = { JobState.Failed, JobState.Cancelled } };
        ListPipelinesResponse first = await gateway.Client.ListPipelinesAsync(request, cancellationToken: Cancellation);
        request.PageToken = first.NextPageToken;
        ListPipelinesResponse second = await gateway.Client.ListPipelinesAsync(request, cancellationToken: Cancellation);
        Assert.Equal((2, 1, ""), (first.Pipelines.Count, second.Pipelines.Count, second.NextPageToken));
        Assert.DoesNotContain(first.Pipelines.Concat(second.Pipelines), p => p.Job.Name == well.Job.Name);
        Assert.Equal(well.Job.Name, Assert.Single((await gateway.Client.ListPipelinesAsync(new ListPipelinesRequest { States = { JobState.Succeeded } }, cancellationToken: Cancellation)).Pipelines).Job.Name);
    }

    private static async Task<Pipeline> FailAsync(GatewayFixture gateway)
    {
        gateway.Script.Failure = new DroverException(FailureCode.FailedPrecondition, "PIECES_EMPTY", "The piece list is empty.");
        Pipeline created = await gateway.CreateAsync(gateway.TwoSteps());
        await gateway.WatchAsync(created.Job.Name);
        Pipeline ended = await gateway.GetAsync(created.Job.Name);
        Assert.Equal(JobState.Failed, ended.Job.State);
        return ended;
    }

    private static async Task<Pipeline> RetryAsync(GatewayFixture gateway, Pipeline pipeline, string requestId, string step) =>
        (await gateway.Client.RetryPipelineAsync(new RetryPipelineRequest { RequestId = requestId, Name = pipeline.Job.Name, FromStep = step }, cancellationToken: Cancellation)).Pipeline;

    private static async Task ExpectAsync(StatusCode code, string message, Func<Task> call)
    {
        RpcException e = await Assert.ThrowsAsync<RpcException>(call);
        Assert.Equal(code, e.StatusCode);
        Assert.Contains(message, e.Status.Detail, StringComparison.Ordinal);
    }
}
