using Drover.Discovery;
using Drover.Protocol.DataPrep.V1;
using Grpc.Core;

namespace Drover.Gateway.Forwarding;

/// <summary>Every RPC of the dataprep service, passed on to it.</summary>
internal sealed class DataPrepForwarder(DataPrepService.DataPrepServiceClient client) : DataPrepService.DataPrepServiceBase
{
    private const string Service = ServiceNames.DataPrep;

    public override Task<CreateDatasetBuildResponse> CreateDatasetBuild(CreateDatasetBuildRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<CreateDatasetBuildRequest, CreateDatasetBuildResponse>(Service, client.CreateDatasetBuildAsync, request, context);

    public override Task<GetDatasetBuildResponse> GetDatasetBuild(GetDatasetBuildRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<GetDatasetBuildRequest, GetDatasetBuildResponse>(Service, client.GetDatasetBuildAsync, request, context);

    public override Task<ListDatasetBuildsResponse> ListDatasetBuilds(ListDatasetBuildsRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<ListDatasetBuildsRequest, ListDatasetBuildsResponse>(Service, client.ListDatasetBuildsAsync, request, context);

    public override Task<CancelDatasetBuildResponse> CancelDatasetBuild(CancelDatasetBuildRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<CancelDatasetBuildRequest, CancelDatasetBuildResponse>(Service, client.CancelDatasetBuildAsync, request, context);

    public override Task WatchDatasetBuild(WatchDatasetBuildRequest request, IServerStreamWriter<WatchDatasetBuildResponse> responseStream, ServerCallContext context) =>
        Forward.StreamAsync<WatchDatasetBuildRequest, WatchDatasetBuildResponse>(Service, client.WatchDatasetBuild, request, responseStream, context);

    public override Task<ListWorkersResponse> ListWorkers(ListWorkersRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<ListWorkersRequest, ListWorkersResponse>(Service, client.ListWorkersAsync, request, context);

    public override Task<GetDatasetResponse> GetDataset(GetDatasetRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<GetDatasetRequest, GetDatasetResponse>(Service, client.GetDatasetAsync, request, context);

    public override Task<ReadDatasetRowsResponse> ReadDatasetRows(ReadDatasetRowsRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<ReadDatasetRowsRequest, ReadDatasetRowsResponse>(Service, client.ReadDatasetRowsAsync, request, context);
}
