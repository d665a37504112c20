using Drover.Checkpoint.Checkpoints;
using Drover.Checkpoint.Exports;
using Drover.Checkpoint.Imports;
using Drover.Checkpoint.Models;
using Drover.Jobs;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.Common.V1;
using Grpc.Core;

namespace Drover.Checkpoint;

/// <summary>The RPCs: each hands its request to what does the work.</summary>
internal sealed class CheckpointGrpcService(
    CheckpointPublisher publisher,
    CheckpointCatalog checkpoints,
    ModelCatalog models,
    ModelPull pull,
    RunCatalog runs,
    RunKeeper keeper,
    CheckpointDiff diff,
    Lineage lineage,
    ImportRules imports,
    IObjectStore store,
    JobQueue jobs) : CheckpointService.CheckpointServiceBase
{
    public override async Task<PublishCheckpointResponse> PublishCheckpoint(PublishCheckpointRequest request, ServerCallContext context) =>
        new() { Checkpoint = await publisher.PublishAsync(request.Checkpoint, context.CancellationToken).ConfigureAwait(false) };

    public override Task<GetLatestCheckpointResponse> GetLatestCheckpoint(GetLatestCheckpointRequest request, ServerCallContext context) =>
        checkpoints.GetLatestAsync(request.Run, request.Verify, context.CancellationToken);

    public override async Task<GetCheckpointResponse> GetCheckpoint(GetCheckpointRequest request, ServerCallContext context) =>
        new() { Checkpoint = await checkpoints.GetAsync(request.Name, context.CancellationToken).ConfigureAwait(false) };

    public override Task<ListCheckpointsResponse> ListCheckpoints(ListCheckpointsRequest request, ServerCallContext context) =>
        checkpoints.ListAsync(request.Run, request.PageSize, request.PageToken, context.CancellationToken);

    public override async Task<VerifyCheckpointResponse> VerifyCheckpoint(VerifyCheckpointRequest request, ServerCallContext context)
    {
        IReadOnlyList<string> problems = await checkpoints.VerifyAsync(request.Name, context.CancellationToken).ConfigureAwait(false);
        return new VerifyCheckpointResponse { Intact = problems.Count == 0, Problems = { problems } };
    }

    public override Task<ListRunsResponse> ListRuns(ListRunsRequest request, ServerCallContext context) =>
        runs.ListAsync(request.PageSize, request.PageToken, context.CancellationToken);

    public override async Task<GetRunResponse> GetRun(GetRunRequest request, ServerCallContext context) =>
        new() { Run = await runs.GetAsync(request.Run, context.CancellationToken).ConfigureAwait(false) };

    public override async Task<SetRetentionResponse> SetRetention(SetRetentionRequest request, ServerCallContext context)
    {
        string run = CheckpointName.CheckRun(request.Run);
        RetentionSpec spec = RunRetention.Check(request.Retention);
        if (!request.DryRun)
            await RunRetention.WriteAsync(store, run, spec, context.CancellationToken).ConfigureAwait(false);
        return new SetRetentionResponse { Removal = await keeper.ApplyRetentionAsync(run, spec, request.DryRun, context.CancellationToken).ConfigureAwait(false) };
    }

    public override async Task<TagCheckpointResponse> TagCheckpoint(TagCheckpointRequest request, ServerCallContext context) =>
        new() { Checkpoint = await checkpoints.TagAsync(request.Checkpoint, request.Tag, context.CancellationToken).ConfigureAwait(false) };

    public override async Task<UntagCheckpointResponse> UntagCheckpoint(UntagCheckpointRequest request, ServerCallContext context)
    {
        await checkpoints.UntagAsync(request.Run, request.Tag, context.CancellationToken).ConfigureAwait(false);
        return new UntagCheckpointResponse();
    }

    public override async Task<DeleteCheckpointResponse> DeleteCheckpoint(DeleteCheckpointRequest request, ServerCallContext context) =>
        new() { Removal = await keeper.DeleteAsync(request.Name, request.DryRun, context.CancellationToken).ConfigureAwait(false) };

    public override async Task<DeleteRunResponse> DeleteRun(DeleteRunRequest request, ServerCallContext context) =>
        new() { Removal = await keeper.DeleteRunAsync(request.Run, request.DryRun, context.CancellationToken).ConfigureAwait(false) };

    public override async Task<DeleteModelResponse> DeleteModel(DeleteModelRequest request, ServerCallContext context) =>
        new() { Removal = await keeper.DeleteModelAsync(request.Name, request.DryRun, context.CancellationToken).ConfigureAwait(false) };

    public override async Task<CollectGarbageResponse> CollectGarbage(CollectGarbageRequest request, ServerCallContext context) =>
        new() { Removal = await keeper.CollectAsync(request, context.CancellationToken).ConfigureAwait(false) };

    public override Task<DiffCheckpointsResponse> DiffCheckpoints(DiffCheckpointsRequest request, ServerCallContext context) =>
        diff.CompareAsync(request, context.CancellationToken);

    public override async Task<GetLineageResponse> GetLineage(GetLineageRequest request, ServerCallContext context) =>
        new() { Entries = { await lineage.OfAsync(request.Name, context.CancellationToken).ConfigureAwait(false) } };

    public override Task<CreateExportResponse> CreateExport(CreateExportRequest request, ServerCallContext context)
    {
        ExportRules.Check(request.Spec);
        return Task.FromResult(new CreateExportResponse { Export = Describe(jobs.Create(ExportExecutor.JobKind, request.RequestId, request.Spec, JobTerms.Of(context))) });
    }

    public override Task<GetExportResponse> GetExport(GetExportRequest request, ServerCallContext context) =>
        Task.FromResult(new GetExportResponse { Export = Describe(jobs.Get(request.Name, ExportExecutor.JobKind)) });

    public override Task<ListExportsResponse> ListExports(ListExportsRequest request, ServerCallContext context)
    {
        JobPage page = jobs.List(ExportExecutor.JobKind, request.PageSize, request.PageToken);
        return Task.FromResult(new ListExportsResponse { Exports = { page.Jobs.Select(Describe) }, NextPageToken = page.NextPageToken });
    }

    public override Task<CancelExportResponse> CancelExport(CancelExportRequest request, ServerCallContext context) =>
        Task.FromResult(new CancelExportResponse { Export = Describe(jobs.Cancel(request.Name, ExportExecutor.JobKind)) });

    public override async Task WatchExport(WatchExportRequest request, IServerStreamWriter<WatchExportResponse> responseStream, ServerCallContext context)
    {
        await foreach (JobEvent update in jobs.WatchAsync(request.Name, ExportExecutor.JobKind, request.FromRevision, context.CancellationToken).ConfigureAwait(false))
            await responseStream.WriteAsync(new WatchExportResponse { Event = update }, context.CancellationToken).ConfigureAwait(false);
    }

    public override Task<ListModelsResponse> ListModels(ListModelsRequest request, ServerCallContext context) =>
        models.ListAsync(request.PageSize, request.PageToken, context.CancellationToken);

    public override async Task<GetModelResponse> GetModel(GetModelRequest request, ServerCallContext context) =>
        new() { Model = await models.GetAsync(request.Name, context.CancellationToken).ConfigureAwait(false) };

    public override async Task PullModel(PullModelRequest request, IServerStreamWriter<PullModelResponse> responseStream, ServerCallContext context) =>
        await pull.SendAsync(request, part => responseStream.WriteAsync(part, context.CancellationToken), context.CancellationToken).ConfigureAwait(false);

    public override async Task<PresignModelResponse> PresignModel(PresignModelRequest request, ServerCallContext context) =>
        new() { Files = { await pull.PresignAsync(request, context.CancellationToken).ConfigureAwait(false) } };

    public override Task<CreateImportResponse> CreateImport(CreateImportRequest request, ServerCallContext context)
    {
        imports.Check(request.Spec);
        return Task.FromResult(new CreateImportResponse { Import = DescribeImport(jobs.Create(ImportExecutor.JobKind, request.RequestId, request.Spec)) });
    }

    public override Task<GetImportResponse> GetImport(GetImportRequest request, ServerCallContext context) =>
        Task.FromResult(new GetImportResponse { Import = DescribeImport(jobs.Get(request.Name, ImportExecutor.JobKind)) });

    public override Task<ListImportsResponse> ListImports(ListImportsRequest request, ServerCallContext context)
    {
        JobPage page = jobs.List(ImportExecutor.JobKind, request.PageSize, request.PageToken);
        return Task.FromResult(new ListImportsResponse { Imports = { page.Jobs.Select(DescribeImport) }, NextPageToken = page.NextPageToken });
    }

    public override Task<CancelImportResponse> CancelImport(CancelImportRequest request, ServerCallContext context) =>
        Task.FromResult(new CancelImportResponse { Import = DescribeImport(jobs.Cancel(request.Name, ImportExecutor.JobKind)) });

    public override async Task WatchImport(WatchImportRequest request, IServerStreamWriter<WatchImportResponse> responseStream, ServerCallContext context)
    {
        await foreach (JobEvent update in jobs.WatchAsync(request.Name, ImportExecutor.JobKind, request.FromRevision, context.CancellationToken).ConfigureAwait(false))
            await responseStream.WriteAsync(new WatchImportResponse { Event = update }, context.CancellationToken).ConfigureAwait(false);
    }

    private static Import DescribeImport(JobEntry entry) => new() { Job = entry.Job, Spec = entry.Spec<ImportSpec>(), Result = entry.Result<Model>() };

    private static Export Describe(JobEntry entry) => new() { Job = entry.Job, Spec = entry.Spec<ExportSpec>(), Result = entry.Result<Model>() };
}
