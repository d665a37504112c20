using Drover.Gateway.Inputs;
using Drover.Gateway.Pipelines;
using Drover.Gateway.Status;
using Drover.Protocol.Gateway.V1;
using Grpc.Core;

namespace Drover.Gateway;

/// <summary>The gateway's own RPCs: only maps and delegates.</summary>
internal sealed class GatewayEndpoint(PipelineCatalog pipelines, PipelineHistory history, InputStore inputs, ServiceHealth health, GatewayOptions options) : GatewayService.GatewayServiceBase
{
    public override async Task<CreatePipelineResponse> CreatePipeline(CreatePipelineRequest request, ServerCallContext context) =>
        new() { Pipeline = await pipelines.CreateAsync(request, context.CancellationToken).ConfigureAwait(false) };

    public override async Task<GetPipelineResponse> GetPipeline(GetPipelineRequest request, ServerCallContext context) =>
        new() { Pipeline = await pipelines.GetAsync(request.Name, context.CancellationToken).ConfigureAwait(false) };

    public override Task<ListPipelinesResponse> ListPipelines(ListPipelinesRequest request, ServerCallContext context) =>
        Task.FromResult(pipelines.List(request));

    public override async Task<CancelPipelineResponse> CancelPipeline(CancelPipelineRequest request, ServerCallContext context) =>
        new() { Pipeline = await pipelines.CancelAsync(request.Name, context.CancellationToken).ConfigureAwait(false) };

    public override async Task<RetryPipelineResponse> RetryPipeline(RetryPipelineRequest request, ServerCallContext context) =>
        new() { Pipeline = await pipelines.RetryAsync(request, context.CancellationToken).ConfigureAwait(false) };

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
