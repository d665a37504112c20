using Drover.Errors;
using Drover.Gateway.Inputs;
using Drover.Jobs;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Gateway.V1;

namespace Drover.Gateway.Pipelines;

/// <summary>Pipelines as resources: checked and created once per request id, looked up, listed, paused, cancelled.</summary>
internal sealed class PipelineCatalog(JobQueue queue, PipelineStore store, PipelineHistory history, InputStore inputs, FinishedSteps finished, StepRunner runner)
{
    /// <summary>Checks a pipeline and, unless it is a dry run, creates its job.</summary>
    /// <exception cref="DroverException">InvalidArgument, listing every problem; AlreadyExists.</exception>
    public async Task<Pipeline> CreateAsync(CreatePipelineRequest request, JobTerms terms, CancellationToken cancellation)
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
            return Describe(queue.Create(PipelineExecutor.KindName, request.RequestId, spec, terms));
        var pipeline = new Pipeline { Spec = spec };
        pipeline.Steps.Add(spec.Steps.Select(step => new StepStatus { Name = step.Name, State = JobState.Queued }));
        return pipeline;
    }

    /// <summary>Starts a pipeline that ended again, as a new one that takes finished steps over.</summary>
    /// <exception cref="DroverException">NotFound; FailedPrecondition; InvalidArgument for a step that is none.</exception>
    public Task<Pipeline> RetryAsync(RetryPipelineRequest request, JobTerms terms, CancellationToken cancellation)
    {
        PipelineSpec spec = queue.Get(request.Name, PipelineExecutor.KindName).Spec<PipelineSpec>();
        string from = request.FromStep.Length > 0 ? request.FromStep
            : spec.Steps.FirstOrDefault(step => store.FindStep(request.Name, step.Name)?.State != JobState.Succeeded)?.Name ?? spec.Steps[^1].Name;
        spec.Retry = new RetrySource { Pipeline = request.Name, FromStep = from };
        return CreateAsync(new CreatePipelineRequest { RequestId = request.RequestId, Spec = spec }, terms, cancellation);
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
        JobState before = queue.Get(name, PipelineExecutor.KindName).Job.State;
        JobEntry entry = queue.Cancel(name, PipelineExecutor.KindName);
        // Nothing runs it: the step's job that stands is ended here.
        if (before == JobState.Paused && Begun(entry) is { } step)
            await runner.CancelAsync(name, step, cancellation).ConfigureAwait(false);
        return await GetAsync(name, cancellation).ConfigureAwait(false);
    }

    /// <summary>Asks a pipeline to break off until it is resumed.</summary>
    public async Task<Pipeline> PauseAsync(string name, CancellationToken cancellation)
    {
        queue.Pause(name, PipelineExecutor.KindName);
        return await GetAsync(name, cancellation).ConfigureAwait(false);
    }

    /// <summary>Lets a paused pipeline go on: first the job of its step, then itself, so that what fails changes nothing.</summary>
    public async Task<Pipeline> ResumeAsync(string name, CancellationToken cancellation)
    {
        JobEntry entry = queue.Get(name, PipelineExecutor.KindName);
        if (entry.Job.State == JobState.Paused && Begun(entry) is { } step)
            await runner.ResumeAsync(name, step, cancellation).ConfigureAwait(false);
        queue.Resume(name, PipelineExecutor.KindName);
        return await GetAsync(name, cancellation).ConfigureAwait(false);
    }

    /// <summary>The job of the training that runs now.</summary>
    /// <exception cref="DroverException">NotFound; FailedPrecondition when none does.</exception>
    public string RunningTraining(string name) =>
        Begun(queue.Get(name, PipelineExecutor.KindName)) is { WorkCase: PipelineStep.WorkOneofCase.Train } step
            ? store.FindStep(name, step.Name)!.Job
            : throw new DroverException(FailureCode.FailedPrecondition, "NO_TRAINING_RUNS", $"No training of '{name}' runs now: there is nothing to save.");

    // The step that has a job which has not ended.
    private PipelineStep? Begun(JobEntry entry) =>
        entry.Spec<PipelineSpec>().Steps.FirstOrDefault(step => store.FindStep(entry.Job.Name, step.Name) is { Job.Length: > 0 } status && !JobStates.IsTerminal(status.State));

    private Pipeline Describe(JobEntry entry)
    {
        PipelineSpec spec = entry.Spec<PipelineSpec>();
        var pipeline = new Pipeline { Job = entry.Job, Spec = spec };
        pipeline.Job.Revision = Math.Max(1, store.LastRevision(entry.Job.Name));
        pipeline.Steps.Add(spec.Steps.Select(step => store.FindStep(entry.Job.Name, step.Name) ?? new StepStatus { Name = step.Name, State = JobState.Queued }));
        return pipeline;
    }
}
