using Drover.Discovery;
using Drover.Protocol.Checkpoint.V1;
using Grpc.Core;

namespace Drover.Gateway.Forwarding;

/// <summary>Every RPC of the checkpoint service, passed on to it.</summary>
internal sealed class CheckpointForwarder(CheckpointService.CheckpointServiceClient client) : CheckpointService.CheckpointServiceBase
{
    private const string Service = ServiceNames.Checkpoint;

    public override Task<PublishCheckpointResponse> PublishCheckpoint(PublishCheckpointRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<PublishCheckpointRequest, PublishCheckpointResponse>(Service, client.PublishCheckpointAsync, request, context);

    public override Task<GetLatestCheckpointResponse> GetLatestCheckpoint(GetLatestCheckpointRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<GetLatestCheckpointRequest, GetLatestCheckpointResponse>(Service, client.GetLatestCheckpointAsync, request, context);

    public override Task<GetCheckpointResponse> GetCheckpoint(GetCheckpointRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<GetCheckpointRequest, GetCheckpointResponse>(Service, client.GetCheckpointAsync, request, context);

    public override Task<ListCheckpointsResponse> ListCheckpoints(ListCheckpointsRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<ListCheckpointsRequest, ListCheckpointsResponse>(Service, client.ListCheckpointsAsync, request, context);

    public override Task<VerifyCheckpointResponse> VerifyCheckpoint(VerifyCheckpointRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<VerifyCheckpointRequest, VerifyCheckpointResponse>(Service, client.VerifyCheckpointAsync, request, context);

    public override Task<ListRunsResponse> ListRuns(ListRunsRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<ListRunsRequest, ListRunsResponse>(Service, client.ListRunsAsync, request, context);

    public override Task<GetRunResponse> GetRun(GetRunRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<GetRunRequest, GetRunResponse>(Service, client.GetRunAsync, request, context);

    public override Task<SetRetentionResponse> SetRetention(SetRetentionRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<SetRetentionRequest, SetRetentionResponse>(Service, client.SetRetentionAsync, request, context);

    public override Task<TagCheckpointResponse> TagCheckpoint(TagCheckpointRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<TagCheckpointRequest, TagCheckpointResponse>(Service, client.TagCheckpointAsync, request, context);

    public override Task<UntagCheckpointResponse> UntagCheckpoint(UntagCheckpointRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<UntagCheckpointRequest, UntagCheckpointResponse>(Service, client.UntagCheckpointAsync, request, context);

    public override Task<DeleteCheckpointResponse> DeleteCheckpoint(DeleteCheckpointRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<DeleteCheckpointRequest, DeleteCheckpointResponse>(Service, client.DeleteCheckpointAsync, request, context);

    public override Task<DeleteRunResponse> DeleteRun(DeleteRunRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<DeleteRunRequest, DeleteRunResponse>(Service, client.DeleteRunAsync, request, context);

    public override Task<CollectGarbageResponse> CollectGarbage(CollectGarbageRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<CollectGarbageRequest, CollectGarbageResponse>(Service, client.CollectGarbageAsync, request, context);

    public override Task<DiffCheckpointsResponse> DiffCheckpoints(DiffCheckpointsRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<DiffCheckpointsRequest, DiffCheckpointsResponse>(Service, client.DiffCheckpointsAsync, request, context);

    public override Task<GetLineageResponse> GetLineage(GetLineageRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<GetLineageRequest, GetLineageResponse>(Service, client.GetLineageAsync, request, context);

    public override Task<DeleteModelResponse> DeleteModel(DeleteModelRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<DeleteModelRequest, DeleteModelResponse>(Service, client.DeleteModelAsync, request, context);

    public override Task<CreateExportResponse> CreateExport(CreateExportRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<CreateExportRequest, CreateExportResponse>(Service, client.CreateExportAsync, request, context);

    public override Task<GetExportResponse> GetExport(GetExportRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<GetExportRequest, GetExportResponse>(Service, client.GetExportAsync, request, context);

    public override Task<ListExportsResponse> ListExports(ListExportsRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<ListExportsRequest, ListExportsResponse>(Service, client.ListExportsAsync, request, context);

    public override Task<CancelExportResponse> CancelExport(CancelExportRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<CancelExportRequest, CancelExportResponse>(Service, client.CancelExportAsync, request, context);

    public override Task WatchExport(WatchExportRequest request, IServerStreamWriter<WatchExportResponse> responseStream, ServerCallContext context) =>
        Forward.StreamAsync<WatchExportRequest, WatchExportResponse>(Service, client.WatchExport, request, responseStream, context);

    public override Task<ListModelsResponse> ListModels(ListModelsRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<ListModelsRequest, ListModelsResponse>(Service, client.ListModelsAsync, request, context);

    public override Task<GetModelResponse> GetModel(GetModelRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<GetModelRequest, GetModelResponse>(Service, client.GetModelAsync, request, context);

    public override Task<PresignModelResponse> PresignModel(PresignModelRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<PresignModelRequest, PresignModelResponse>(Service, client.PresignModelAsync, request, context);

    public override Task<CreateImportResponse> CreateImport(CreateImportRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<CreateImportRequest, CreateImportResponse>(Service, client.CreateImportAsync, request, context);

    public override Task<GetImportResponse> GetImport(GetImportRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<GetImportRequest, GetImportResponse>(Service, client.GetImportAsync, request, context);

    public override Task<ListImportsResponse> ListImports(ListImportsRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<ListImportsRequest, ListImportsResponse>(Service, client.ListImportsAsync, request, context);

    public override Task<CancelImportResponse> CancelImport(CancelImportRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<CancelImportRequest, CancelImportResponse>(Service, client.CancelImportAsync, request, context);

    public override Task WatchImport(WatchImportRequest request, IServerStreamWriter<WatchImportResponse> responseStream, ServerCallContext context) =>
        Forward.StreamAsync<WatchImportRequest, WatchImportResponse>(Service, client.WatchImport, request, responseStream, context);

    public override Task PullModel(PullModelRequest request, IServerStreamWriter<PullModelResponse> responseStream, ServerCallContext context) =>
        Forward.StreamAsync<PullModelRequest, PullModelResponse>(Service, client.PullModel, request, responseStream, context);
}
