using System.Runtime.CompilerServices;
using Drover.Client;
using Drover.Errors;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.Common.V1;
using Drover.Protocol.DataPrep.V1;
using Drover.Protocol.Gateway.V1;
using Drover.Protocol.Tokenizer.V1;
using Drover.Protocol.Trainer.V1;
using Google.Protobuf;
using Grpc.Core;

namespace Drover.Cli.Jobs;

/// <summary>All kinds of jobs behind the gateway.</summary>
internal sealed class JobSources(CliContext context)
{
    private CancellationToken Cancellation => context.Cancellation;

    /// <summary>Pipelines first, then the jobs of the services.</summary>
    public IReadOnlyList<JobSource> All => [Pipelines, TokenizerTrainings, Expansions, Datasets, Trainings, Evaluations, Exports, Imports];

    public JobSource Pipelines => new(
        async name => View((await context.Gateway.GetPipelineAsync(new GetPipelineRequest { Name = name }, cancellationToken: Cancellation)).Pipeline, p => p.Job),
        (name, from) => Events(context.Gateway.WatchPipeline(new WatchPipelineRequest { Name = name, FromRevision = from }, cancellationToken: Cancellation), a => new WatchedEvent(a.Event.Revision, a.Event.Step, a.Event.Event, a.Event)),
        async name => await context.Gateway.CancelPipelineAsync(new CancelPipelineRequest { Name = name }, cancellationToken: Cancellation),
        async count => (await context.Gateway.ListPipelinesAsync(new ListPipelinesRequest { PageSize = count }, cancellationToken: Cancellation)).Pipelines.Select(p => p.Job));

    public JobSource TokenizerTrainings => new(
        async name => View((await context.Tokenizer.GetTokenizerTrainingAsync(new GetTokenizerTrainingRequest { Name = name }, cancellationToken: Cancellation)).Training, t => t.Job),
        WatchTokenizer,
        CancelTokenizerAsync,
        // Lists the expansions too.
        async count => (await context.Tokenizer.ListTokenizerJobsAsync(new ListTokenizerJobsRequest { PageSize = count }, cancellationToken: Cancellation)).Jobs);

    public JobSource Expansions => new(
        async name => View((await context.Tokenizer.GetExpansionAsync(new GetExpansionRequest { Name = name }, cancellationToken: Cancellation)).Expansion, e => e.Job),
        WatchTokenizer,
        CancelTokenizerAsync,
        null);

    public JobSource Datasets => new(
        async name => View((await context.DataPrep.GetDatasetBuildAsync(new GetDatasetBuildRequest { Name = name }, cancellationToken: Cancellation)).Build, b => b.Job),
        (name, from) => Events(context.DataPrep.WatchDatasetBuild(new WatchDatasetBuildRequest { Name = name, FromRevision = from }, cancellationToken: Cancellation), a => Own(a.Event)),
        async name => await context.DataPrep.CancelDatasetBuildAsync(new CancelDatasetBuildRequest { Name = name }, cancellationToken: Cancellation),
        async count => (await context.DataPrep.ListDatasetBuildsAsync(new ListDatasetBuildsRequest { PageSize = count }, cancellationToken: Cancellation)).Builds.Select(b => b.Job));

    public JobSource Trainings => new(
        async name => View((await context.Trainer.GetTrainingJobAsync(new GetTrainingJobRequest { Name = name }, cancellationToken: Cancellation)).Job, j => j.Job),
        (name, from) => Events(context.Trainer.WatchTrainingJob(new WatchTrainingJobRequest { Name = name, FromRevision = from }, cancellationToken: Cancellation), a => Own(a.Event)),
        async name => await context.Trainer.CancelTrainingJobAsync(new CancelTrainingJobRequest { Name = name }, cancellationToken: Cancellation),
        async count => (await context.Trainer.ListTrainingJobsAsync(new ListTrainingJobsRequest { PageSize = count }, cancellationToken: Cancellation)).Jobs.Select(j => j.Job));

    public JobSource Evaluations => new(
        async name => View((await context.Trainer.GetEvaluationAsync(new GetEvaluationRequest { Name = name }, cancellationToken: Cancellation)).Evaluation, e => e.Job),
        (name, from) => Events(context.Trainer.WatchEvaluation(new WatchEvaluationRequest { Name = name, FromRevision = from }, cancellationToken: Cancellation), a => Own(a.Event)),
        async name => await context.Trainer.CancelEvaluationAsync(new CancelEvaluationRequest { Name = name }, cancellationToken: Cancellation),
        null);

    public JobSource Exports => new(
        async name => View((await context.Checkpoint.GetExportAsync(new GetExportRequest { Name = name }, cancellationToken: Cancellation)).Export, e => e.Job),
        (name, from) => Events(context.Checkpoint.WatchExport(new WatchExportRequest { Name = name, FromRevision = from }, cancellationToken: Cancellation), a => Own(a.Event)),
        async name => await context.Checkpoint.CancelExportAsync(new CancelExportRequest { Name = name }, cancellationToken: Cancellation),
        async count => (await context.Checkpoint.ListExportsAsync(new ListExportsRequest { PageSize = count }, cancellationToken: Cancellation)).Exports.Select(e => e.Job));

    public JobSource Imports => new(
        async name => View((await context.Checkpoint.GetImportAsync(new GetImportRequest { Name = name }, cancellationToken: Cancellation)).Import, i => i.Job),
        (name, from) => Events(context.Checkpoint.WatchImport(new WatchImportRequest { Name = name, FromRevision = from }, cancellationToken: Cancellation), a => Own(a.Event)),
        async name => await context.Checkpoint.CancelImportAsync(new CancelImportRequest { Name = name }, cancellationToken: Cancellation),
        async count => (await context.Checkpoint.ListImportsAsync(new ListImportsRequest { PageSize = count }, cancellationToken: Cancellation)).Imports.Select(i => i.Job));

    /// <summary>The source that knows a job. A service that does not answer is passed over as long as another knows it.</summary>
    /// <exception cref="DroverException">NotFound when none does.</exception>
    public async Task<(JobSource Source, JobView View)> FindAsync(string name)
    {
        string full = name.StartsWith("jobs/", StringComparison.Ordinal) ? name : "jobs/" + name;
        RpcException? silent = null;
        foreach (JobSource source in All)
        {
            try
            {
                return (source, await source.GetAsync(full).ConfigureAwait(false));
            }
            catch (RpcException e) when (e.StatusCode == StatusCode.NotFound)
            {
                // Of another kind.
            }
            catch (RpcException e) when (e.StatusCode is StatusCode.Unavailable or StatusCode.Unimplemented && e.IsAnswer())
            {
                silent = e;
            }
        }

        throw silent ?? (Exception)new DroverException(FailureCode.NotFound, "JOB_NOT_FOUND", $"There is no job '{full}'. 'drover jobs list --all' shows what there is.");
    }

    private IAsyncEnumerable<WatchedEvent> WatchTokenizer(string name, long from) =>
        Events(context.Tokenizer.WatchTokenizerJob(new WatchTokenizerJobRequest { Name = name, FromRevision = from }, cancellationToken: Cancellation), a => Own(a.Event));

    private async Task CancelTokenizerAsync(string name) =>
        await context.Tokenizer.CancelTokenizerJobAsync(new CancelTokenizerJobRequest { Name = name }, cancellationToken: Cancellation);

    private static JobView View<T>(T resource, Func<T, Job> job)
        where T : IMessage => new(job(resource), resource);

    private static WatchedEvent Own(JobEvent update) => new(update.Revision, "", update, update);

    private static async IAsyncEnumerable<WatchedEvent> Events<T>(AsyncServerStreamingCall<T> call, Func<T, WatchedEvent> map, [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        using (call)
        {
            while (await call.ResponseStream.MoveNext(cancellation).ConfigureAwait(false))
                yield return map(call.ResponseStream.Current);
        }
    }
}
