using Drover.Discovery;
using Drover.Gateway.Forwarding;
using Drover.Gateway.Inputs;
using Drover.Gateway.Pipelines;
using Drover.Gateway.Status;
using Drover.Hosting;
using Drover.Jobs;
using Drover.Protocol.Gateway.V1;
using Drover.Protocol.Trainer.V1;
using Grpc.Core;

namespace Drover.Gateway;

/// <summary>The gateway's own RPCs: only maps and delegates.</summary>
internal sealed class GatewayEndpoint(PipelineCatalog pipelines, PipelineHistory history, InputStore inputs, ServiceHealth health, GatewayOptions options, TrainerService.TrainerServiceClient trainer) : GatewayService.GatewayServiceBase
{
    public override async Task<CreatePipelineResponse> CreatePipeline(CreatePipelineRequest request, ServerCallContext context) =>
        new() { Pipeline = await pipelines.CreateAsync(request, JobTerms.Of(context), context.CancellationToken).ConfigureAwait(false) };

    public override async Task<GetPipelineResponse> GetPipeline(GetPipelineRequest request, ServerCallContext context) =>
        new() { Pipeline = await pipelines.GetAsync(request.Name, context.CancellationToken).ConfigureAwait(false) };

    public override Task<ListPipelinesResponse> ListPipelines(ListPipelinesRequest request, ServerCallContext context) =>
        Task.FromResult(pipelines.List(request));

    public override async Task<CancelPipelineResponse> CancelPipeline(CancelPipelineRequest request, ServerCallContext context) =>
        new() { Pipeline = await pipelines.CancelAsync(request.Name, context.CancellationToken).ConfigureAwait(false) };

    public override async Task<PausePipelineResponse> PausePipeline(PausePipelineRequest request, ServerCallContext context) =>
        new() { Pipeline = await pipelines.PauseAsync(request.Name, context.CancellationToken).ConfigureAwait(false) };

    public override async Task<ResumePipelineResponse> ResumePipeline(ResumePipelineRequest request, ServerCallContext context)
    {
        try
        {
            return new ResumePipelineResponse { Pipeline = await pipelines.ResumeAsync(request.Name, context.CancellationToken).ConfigureAwait(false) };
        }
        catch (RpcException e)
        {
            throw RpcFailure.From(e, ServiceNames.Trainer);
        }
    }

    public override async Task<SavePipelineResponse> SavePipeline(SavePipelineRequest request, ServerCallContext context)
    {
        string job = pipelines.RunningTraining(request.Name);
        SaveTrainingJobResponse saved = await Forward.UnaryAsync<SaveTrainingJobRequest, SaveTrainingJobResponse>(ServiceNames.Trainer, trainer.SaveTrainingJobAsync, new SaveTrainingJobRequest { Name = job }, context).ConfigureAwait(false);
        return new SavePipelineResponse { Job = job, Step = saved.Step };
    }

    public override async Task<RetryPipelineResponse> RetryPipeline(RetryPipelineRequest request, ServerCallContext context) =>
        new() { Pipeline = await pipelines.RetryAsync(request, JobTerms.Of(context), context.CancellationToken).ConfigureAwait(false) };

    public override async Task WatchPipeline(WatchPipelineRequest request, IServerStreamWriter<WatchPipelineResponse> responseStream, ServerCallContext context)
    {
        await foreach (PipelineEvent update in history.WatchAsync(request.Name, request.FromRevision, context.CancellationToken).ConfigureAwait(false))
            await responseStream.WriteAsync(new WatchPipelineResponse { Event = update }, context.CancellationToken).ConfigureAwait(false);
    }

    public override async Task<UploadInputResponse> UploadInput(IAsyncStreamReader<UploadInputRequest> requestStream, ServerCallContext context) =>
        new() { Key = await inputs.UploadAsync(requestStream, context.CancellationToken).ConfigureAwait(false) };

    public override async Task<FindInputsResponse> FindInputs(FindInputsRequest request, ServerCallContext context) =>
        new() { PresentKeys = { await inputs.FindAsync(request.Keys, context.CancellationToken).ConfigureAwait(false) } };

    public override async Task<GetStatusResponse> GetStatus(GetStatusRequest request, ServerCallContext context) =>
        new() { Services = { await health.CheckAsync(context.CancellationToken).ConfigureAwait(false) }, HttpAddress = options.HttpAddress };
}
