using Drover.DataPrep.Building;
using Drover.DataPrep.Rows;
using Drover.Errors;
using Drover.Formats.Datasets;
using Drover.Jobs;
using Drover.ObjectStore;
using Drover.Protocol.Common.V1;
using Drover.Protocol.DataPrep.V1;
using Drover.Tokenization;
using Grpc.Core;

namespace Drover.DataPrep;

/// <summary>Dataset builds as jobs.</summary>
internal sealed class DataPrepGrpcService(JobQueue jobs, IObjectStore store, TokenizerCache tokenizers, BuildCoordinator coordinator, DataPrepFolders folders) : DataPrepService.DataPrepServiceBase
{
    private const int MostRows = 100;

    public override async Task<CreateDatasetBuildResponse> CreateDatasetBuild(CreateDatasetBuildRequest request, ServerCallContext context)
    {
        DatasetSpec spec = request.Spec ?? new DatasetSpec();
        await new SpecChecker(store).CheckAsync(spec, context.CancellationToken).ConfigureAwait(false);
        return new CreateDatasetBuildResponse { Build = Describe(jobs.Create(DatasetBuildExecutor.KindName, request.RequestId, spec, JobTerms.Of(context))) };
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

    public override Task<ListWorkersResponse> ListWorkers(ListWorkersRequest request, ServerCallContext context) =>
        Task.FromResult(new ListWorkersResponse { Workers = { coordinator.Workers() } });

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

    public override async Task<ReadDatasetRowsResponse> ReadDatasetRows(ReadDatasetRowsRequest request, ServerCallContext context)
    {
        if (request.Rows is < 0 or > MostRows)
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_ROW_COUNT", $"rows is {request.Rows}, and must be 1 to {MostRows}, or 0 for 1.");
        using PackedDataset rows = await PackedDataset.OpenAsync(store, request.Dataset, folders.Rows, context.CancellationToken).ConfigureAwait(false);
        ITextTokenizer tokenizer = await tokenizers.GetAsync(rows.Manifest.Tokenizer, rows.Manifest.TokenizerHash, context.CancellationToken).ConfigureAwait(false);
        var response = new ReadDatasetRowsResponse();
        long end = Math.Min(rows.RowCount, request.FirstRow + Math.Max(1, request.Rows));
        for (long id = request.FirstRow; id < Math.Max(end, request.FirstRow + 1); id++)
        {
            PackedRow row = rows.Read(id);
            response.Rows.Add(new DatasetRow { Row = id, InputIds = { row.InputIds }, Labels = { row.Labels }, DocumentLengths = { row.DocumentLengths }, Texts = { TokenTexts.Of(tokenizer, row) } });
        }

        return response;
    }

    private static DatasetBuild Describe(JobEntry entry) =>
        new() { Job = entry.Job, Spec = entry.Spec<DatasetSpec>(), Result = entry.Result<Dataset>() };
}
