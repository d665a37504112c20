using Drover.Gateway.Inputs;
using Drover.Jobs;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Gateway.V1;

namespace Drover.Gateway.Pipelines;

/// <summary>Pipelines as resources: checked and created once per request id, looked up, listed, cancelled.</summary>
internal sealed class PipelineCatalog(JobQueue queue, PipelineStore store, PipelineHistory history, InputStore inputs, FinishedSteps finished)
{
    /// <summary>Checks a pipeline and, unless it is a dry run, creates its job.</summary>
    /// <exception cref="Drover.Errors.DroverException">InvalidArgument, listing every problem; AlreadyExists.</exception>
    public async Task<Pipeline> CreateAsync(CreatePipelineRequest request, CancellationToken cancellation)
    {
        PipelineSpec spec = request.Spec ?? new PipelineSpec();
        var problems = new List<string>(PipelineValidator.Check(spec));
        foreach ((string name, string reference) in spec.Inputs)
        {
            if (reference.Length > 0 && !await inputs.ExistsAsync(reference, cancellation).ConfigureAwait(false))
                problems.Add($"inputs.{name}: there is no '{reference}' in the object store; upload it, or name one that is there");
        }

        PipelineValidator.Require(problems);
        if (spec.Retry is not null)
            finished.Of(spec);
        if (!request.DryRun)
            return Describe(queue.Create(PipelineExecutor.KindName, request.RequestId, spec));
        var pipeline = new Pipeline { Spec = spec };
        pipeline.Steps.Add(spec.Steps.Select(step => new StepStatus { Name = step.Name, State = JobState.Queued }));
        return pipeline;
    }

    /// <summary>Starts a pipeline that ended again, as a new one that takes finished steps over.</summary>
    /// <exception cref="Drover.Errors.DroverException">NotFound; FailedPrecondition; InvalidArgument for a step that is none.</exception>
    public Task<Pipeline> RetryAsync(RetryPipelineRequest request, CancellationToken cancellation)
    {
        PipelineSpec spec = queue.Get(request.Name, PipelineExecutor.KindName).Spec<PipelineSpec>();
        string from = request.FromStep.Length > 0 ? request.FromStep
            : spec.Steps.FirstOrDefault(step => store.FindStep(request.Name, step.Name)?.State != JobState.Succeeded)?.Name ?? spec.Steps[^1].Name;
        spec.Retry = new RetrySource { Pipeline = request.Name, FromStep = from };
        return CreateAsync(new CreatePipelineRequest { RequestId = request.RequestId, Spec = spec }, cancellation);
    }

    /// <summary>A pipeline that must be there.</summary>
    public async Task<Pipeline> GetAsync(string name, CancellationToken cancellation)
    {
        long revision = await history.CatchUpAsync(name, cancellation).ConfigureAwait(false);
        Pipeline pipeline = Describe(queue.Get(name, PipelineExecutor.KindName));
        pipeline.Job.Revision = revision;
        return pipeline;
    }

    /// <summary>Pipelines, newest first.</summary>
    public ListPipelinesResponse List(ListPipelinesRequest request)
    {
        JobPage page = queue.List(PipelineExecutor.KindName, request.PageSize, request.PageToken, request.States);
        return new ListPipelinesResponse { Pipelines = { page.Jobs.Select(Describe) }, NextPageToken = page.NextPageToken };
    }

    /// <summary>Asks a pipeline to stop; its running step is cancelled.</summary>
    public async Task<Pipeline> CancelAsync(string name, CancellationToken cancellation)
    {
        queue.Cancel(name, PipelineExecutor.KindName);
        return await GetAsync(name, cancellation).ConfigureAwait(false);
    }

    private Pipeline Describe(JobEntry entry)
    {
        PipelineSpec spec = entry.Spec<PipelineSpec>();
        var pipeline = new Pipeline { Job = entry.Job, Spec = spec };
        pipeline.Job.Revision = Math.Max(1, store.LastRevision(entry.Job.Name));
        pipeline.Steps.Add(spec.Steps.Select(step => store.FindStep(entry.Job.Name, step.Name) ?? new StepStatus { Name = step.Name, State = JobState.Queued }));
        return pipeline;
    }
}
