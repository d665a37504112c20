using Drover.Errors;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Gateway.V1;
using Drover.Protocol.Trainer.V1;
using Grpc.Core;

namespace Drover.Gateway.Tests;

public sealed class PipelineTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Steps_run_in_order_and_hand_their_outputs_on()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync();
        Pipeline created = await gateway.CreateAsync(gateway.TwoSteps());
        List<PipelineEvent> events = await gateway.WatchAsync(created.Job.Name);

        Pipeline ended = await gateway.GetAsync(created.Job.Name);
        Assert.Equal(JobState.Succeeded, ended.Job.State);
        Assert.Equal("tokenizers/two-learn", ended.Steps[0].Outputs["tokenizer"]);
        Assert.Equal("tokenizers/two-grow", ended.Steps[1].Outputs["tokenizer"]);
        Assert.Contains(events, e => e.Step == "grow" && e.Event.Log?.Message == "expands tokenizers/two-learn by inputs/corpus.jsonl");
        Assert.Equal(JobState.Succeeded, events[^1].Event.StateChanged);
        Assert.Equal("", events[^1].Step);
        Assert.Equal(ended.Job.Revision, events[^1].Revision);
        AssertWhole(events);
    }

    [Fact]
    public async Task A_gateway_that_restarts_in_mid_pipeline_goes_on_without_a_gap_or_a_repeat()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync();
        gateway.Script.IsGated = true;
        Pipeline created = await gateway.CreateAsync(gateway.TwoSteps());
        List<PipelineEvent> before = await gateway.UntilExpandingAsync(created.Job.Name);

        await gateway.StopGatewayAsync();
        // The step goes on while nobody watches it.
        gateway.Script.Gate.Release();
        await gateway.StartGatewayAsync();
        List<PipelineEvent> after = await gateway.WatchAsync(created.Job.Name, before[^1].Revision);

        List<PipelineEvent> all = [.. before, .. after];
        AssertWhole(all);
        Assert.Equal(all.Select(e => e.ToString()), (await gateway.WatchAsync(created.Job.Name)).Select(e => e.ToString()));
        Assert.Equal(JobState.Succeeded, (await gateway.GetAsync(created.Job.Name)).Job.State);
        Assert.Equal(2, (await gateway.TokenizerJobsAsync()).Count);
        Assert.All(await gateway.TokenizerJobsAsync(), job => Assert.Equal(1, job.Attempt));
    }

    [Fact]
    public async Task A_service_that_restarts_in_mid_step_is_waited_for()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync();
        gateway.Script.IsGated = true;
        Pipeline created = await gateway.CreateAsync(gateway.TwoSteps());
        List<PipelineEvent> before = await gateway.UntilExpandingAsync(created.Job.Name);

        await gateway.StopTokenizerAsync();
        await gateway.WatchAsync(created.Job.Name, before[^1].Revision, e => e.Event.Log?.Message.Contains("'tokenizer' does not answer", StringComparison.Ordinal) == true);
        gateway.Script.Gate.Release();
        await gateway.StartTokenizerAsync();
        await gateway.WatchAsync(created.Job.Name, before[^1].Revision);

        Assert.Equal(JobState.Succeeded, (await gateway.GetAsync(created.Job.Name)).Job.State);
        Assert.Equal(2, (await gateway.TokenizerJobsAsync()).Count);
        AssertWhole(await gateway.WatchAsync(created.Job.Name));
    }

    [Fact]
    public async Task A_failed_step_fails_the_pipeline_with_its_code_reason_and_message()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync();
        gateway.Script.Failure = new DroverException(FailureCode.FailedPrecondition, "PIECES_EMPTY", "The piece list is empty.");
        Pipeline created = await gateway.CreateAsync(gateway.TwoSteps());
        await gateway.WatchAsync(created.Job.Name);

        Pipeline ended = await gateway.GetAsync(created.Job.Name);
        Assert.Equal(JobState.Failed, ended.Job.State);
        Assert.Equal((int)FailureCode.FailedPrecondition, ended.Job.Failure.Code);
        Assert.Equal("PIECES_EMPTY", ended.Job.Failure.Reason);
        Assert.Contains("Step 'grow'", ended.Job.Failure.Message, StringComparison.Ordinal);
        Assert.Contains("The piece list is empty.", ended.Job.Failure.Message, StringComparison.Ordinal);
        Assert.Equal([JobState.Succeeded, JobState.Failed], ended.Steps.Select(step => step.State));
    }

    [Fact]
    public async Task Cancelling_a_pipeline_cancels_its_running_step()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync();
        gateway.Script.IsGated = true;
        Pipeline created = await gateway.CreateAsync(gateway.TwoSteps());
        await gateway.UntilExpandingAsync(created.Job.Name);

        await gateway.Client.CancelPipelineAsync(new CancelPipelineRequest { Name = created.Job.Name }, cancellationToken: Cancellation);
        List<PipelineEvent> events = await gateway.WatchAsync(created.Job.Name);

        Pipeline ended = await gateway.GetAsync(created.Job.Name);
        Assert.Equal(JobState.Cancelled, ended.Job.State);
        Assert.Equal([JobState.Succeeded, JobState.Cancelled], ended.Steps.Select(step => step.State));
        Assert.Equal(JobState.Cancelled, (await gateway.TokenizerJobsAsync()).Single(job => job.Kind == "expansion").State);
        AssertWhole(events);
    }

    [Fact]
    public async Task Cancelling_a_pipeline_cancels_its_running_evaluation()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync(withTokenizer: false);
        await gateway.StartTrainerAsync();
        gateway.Script.IsGated = true;
        Pipeline created = await gateway.CreateAsync(new PipelineSpec
        {
            Name = "measure",
            Steps = { new PipelineStep { Name = "before", Evaluate = new EvaluationSpec { Model = "models/m", Dataset = "datasets/d" } } },
        });
        await gateway.WatchAsync(created.Job.Name, 0, e => e.Event.Log?.Message == "evaluates models/m");

        await gateway.Client.CancelPipelineAsync(new CancelPipelineRequest { Name = created.Job.Name }, cancellationToken: Cancellation);
        await gateway.WatchAsync(created.Job.Name);

        Pipeline ended = await gateway.GetAsync(created.Job.Name);
        Assert.Equal(JobState.Cancelled, ended.Job.State);
        Evaluation evaluation = (await gateway.Trainer.GetEvaluationAsync(new GetEvaluationRequest { Name = Assert.Single(ended.Steps).Job }, cancellationToken: Cancellation)).Evaluation;
        Assert.Equal(JobState.Cancelled, evaluation.Job.State);
    }

    [Fact]
    public async Task The_same_request_id_is_one_pipeline_and_a_dry_run_is_none()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync();
        Pipeline dry = await gateway.CreateAsync(gateway.TwoSteps(), dryRun: true);
        Pipeline first = await gateway.CreateAsync(gateway.TwoSteps(), "r1");
        Pipeline second = await gateway.CreateAsync(gateway.TwoSteps(), "r1");

        Assert.Null(dry.Job);
        Assert.Equal(first.Job.Name, second.Job.Name);
        Assert.Single((await gateway.Client.ListPipelinesAsync(new ListPipelinesRequest(), cancellationToken: Cancellation)).Pipelines);
        RpcException other = await Assert.ThrowsAsync<RpcException>(() => gateway.CreateAsync(new PipelineSpec(gateway.TwoSteps()) { Name = "other" }, "r1"));
        Assert.Equal(StatusCode.AlreadyExists, other.StatusCode);
    }

    [Fact]
    public async Task An_input_that_is_not_in_the_store_and_a_bad_reference_are_told_together()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync(withTokenizer: false);
        PipelineSpec spec = gateway.TwoSteps();
        spec.Inputs["gone"] = "inputs/gone.jsonl";
        spec.Steps[1].Expand.BaseTokenizer = "${steps.lern.tokenizer}";

        RpcException refused = await Assert.ThrowsAsync<RpcException>(() => gateway.CreateAsync(spec));
        Assert.Equal(StatusCode.InvalidArgument, refused.StatusCode);
        Assert.Contains("inputs/gone.jsonl", refused.Status.Detail, StringComparison.Ordinal);
        Assert.Contains("steps[1].expand.base_tokenizer: '${steps.lern.tokenizer}' names no step", refused.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_watch_from_a_revision_in_the_future_is_refused()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync();
        Pipeline created = await gateway.CreateAsync(gateway.TwoSteps());
        RpcException refused = await Assert.ThrowsAsync<RpcException>(() => gateway.WatchAsync(created.Job.Name, 1_000));
        Assert.Equal(StatusCode.OutOfRange, refused.StatusCode);
    }

    /// <summary>Revisions rise by one from 1, those of the pipeline and those within each job.</summary>
    private static void AssertWhole(List<PipelineEvent> events)
    {
        Assert.Equal(Enumerable.Range(1, events.Count).Select(i => (long)i), events.Select(e => e.Revision));
        foreach (IGrouping<string, PipelineEvent> step in events.GroupBy(e => e.Step))
            Assert.Equal(Enumerable.Range(1, step.Count()).Select(i => (long)i), step.Select(e => e.Event.Revision));
    }
}
