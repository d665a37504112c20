using Drover.DataPrep.Building;
using Drover.Formats.Datasets;
using Drover.Jobs;
using Drover.ObjectStore;
using Drover.Protocol.Common.V1;
using Drover.Protocol.DataPrep.V1;
using Grpc.Core;

namespace Drover.DataPrep;

/// <summary>Dataset builds as jobs.</summary>
internal sealed class DataPrepGrpcService(JobQueue jobs, IObjectStore store) : DataPrepService.DataPrepServiceBase
{
    public override async Task<CreateDatasetBuildResponse> CreateDatasetBuild(CreateDatasetBuildRequest request, ServerCallContext context)
    {
        DatasetSpec spec = request.Spec ?? new DatasetSpec();
        await new SpecChecker(store).CheckAsync(spec, context.CancellationToken).ConfigureAwait(false);
        return new CreateDatasetBuildResponse { Build = Describe(jobs.Create(DatasetBuildExecutor.KindName, request.RequestId, spec)) };
    }

    public override Task<GetDatasetBuildResponse> GetDatasetBuild(GetDatasetBuildRequest request, ServerCallContext context) =>
        Task.FromResult(new GetDatasetBuildResponse { Build = Describe(jobs.Get(request.Name, DatasetBuildExecutor.KindName)) });

    public override Task<ListDatasetBuildsResponse> ListDatasetBuilds(ListDatasetBuildsRequest request, ServerCallContext context)
    {
        JobPage page = jobs.List(DatasetBuildExecutor.KindName, request.PageSize, request.PageToken);
        var response = new ListDatasetBuildsResponse { NextPageToken = page.NextPageToken };
        response.Builds.AddRange(page.Jobs.Select(Describe));
        return Task.FromResult(response);
    }

    public override Task<CancelDatasetBuildResponse> CancelDatasetBuild(CancelDatasetBuildRequest request, ServerCallContext context) =>
        Task.FromResult(new CancelDatasetBuildResponse { Build = Describe(jobs.Cancel(request.Name, DatasetBuildExecutor.KindName)) });

    public override async Task WatchDatasetBuild(WatchDatasetBuildRequest request, IServerStreamWriter<WatchDatasetBuildResponse> responseStream, ServerCallContext context)
    {
        await foreach (JobEvent update in jobs.WatchAsync(request.Name, DatasetBuildExecutor.KindName, request.FromRevision, context.CancellationToken).ConfigureAwait(false))
            await responseStream.WriteAsync(new WatchDatasetBuildResponse { Event = update }, context.CancellationToken).ConfigureAwait(false);
    }

    public override async Task<GetDatasetResponse> GetDataset(GetDatasetRequest request, ServerCallContext context)
    {
        (DatasetManifest manifest, string hash) = await PackedDataset.ReadManifestAsync(store, request.Dataset, context.CancellationToken).ConfigureAwait(false);
        return new GetDatasetResponse { Dataset = DatasetDescription.Of(request.Dataset, manifest, hash) };
    }

    private static DatasetBuild Describe(JobEntry entry) =>
        new() { Job = entry.Job, Spec = entry.Spec<DatasetSpec>(), Result = entry.Result<Dataset>() };
}
