using Drover.Errors;
using Drover.Gateway.Pipelines.Steps;
using Drover.Jobs;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Gateway.V1;
using Google.Protobuf;
using Grpc.Core;

namespace Drover.Gateway.Pipelines;

/// <summary>
/// Does one step: makes its job (once, whatever happens: the request id is the pipeline's job and the step's name), copies
/// its events into the pipeline's row from where the row ends, and keeps its outputs. Begun again after a crash, it goes on.
/// </summary>
internal sealed partial class StepRunner(PipelineStore store, ServiceRetry retry, IEnumerable<IStepWork> works, JobQueue queue, IHostApplicationLifetime lifetime, ILogger<StepRunner> logger)
{
    private static readonly Func<ILogger, string, string, IDisposable?> s_stepScope = LoggerMessage.DefineScope<string, string>("step {Step} of {Pipeline}");
    private readonly Dictionary<PipelineStep.WorkOneofCase, IStepWork> _works = works.ToDictionary(work => work.Kind);

    /// <summary>Does a step that is not finished.</summary>
    /// <param name="pipeline">Told of waits.</param>
    /// <param name="step">The step.</param>
    /// <param name="spec">Its spec, references resolved.</param>
    /// <param name="cancellation">Leaves the step's job alone: whether it is to be cancelled too is the caller's to know.</param>
    /// <exception cref="DroverException">The step's failure, naming step and job.</exception>
    public async Task<StepStatus> RunAsync(JobContext pipeline, PipelineStep step, IMessage spec, CancellationToken cancellation)
    {
        IStepWork work = _works[step.WorkCase];
        using IDisposable? scope = s_stepScope(logger, step.Name, pipeline.Name);
        StepStatus status = store.FindStep(pipeline.Name, step.Name) ?? new StepStatus { Name = step.Name, State = JobState.Queued };
        void Waiting(string message) => pipeline.Log(LogLine.Types.Severity.Warning, message);
        if (status.Job.Length == 0)
        {
            Metadata headers = JobTerms.HeadersOf(queue.Get(pipeline.Name, PipelineExecutor.KindName).Job);
            try
            {
                // Not the pipeline's token: a cancel during the call must not leave a job that nobody knows of.
                await retry.RunAsync(work.Service, Waiting, async _ => status.Job = (await work.CreateAsync($"{pipeline.Name}/{step.Name}", spec, headers, lifetime.ApplicationStopping).ConfigureAwait(false)).Name, cancellation).ConfigureAwait(false);
            }
            catch (DroverException e)
            {
                status.State = JobState.Failed;
                store.SaveStep(pipeline.Name, status);
                throw new DroverException(e.Code, e.Reason, $"Step '{step.Name}' could not be started: {e.Message}", e);
            }

            store.SaveStep(pipeline.Name, status);
        }

        LogFollows(step.Name, pipeline.Name, status.Job, work.Service);
        Job job = await FollowAsync(pipeline.Name, status, work, Waiting, cancellation).ConfigureAwait(false);
        return job.State switch
        {
            JobState.Succeeded => status,
            JobState.Cancelled => throw new DroverException(FailureCode.Aborted, "STEP_CANCELLED", $"Step '{step.Name}' ({status.Job} of the {work.Service} service) was cancelled."),
            _ => throw new DroverException((FailureCode)job.Failure.Code, job.Failure.Reason, $"Step '{step.Name}' ({status.Job} of the {work.Service} service) failed: {job.Failure.Message}"),
        };
    }

    /// <summary>Cancels the job of a step, if it has one that runs, and waits for its end.</summary>
    public async Task CancelAsync(string pipeline, PipelineStep step, CancellationToken cancellation)
    {
        StepStatus? status = store.FindStep(pipeline, step.Name);
        if (status is null || status.Job.Length == 0 || JobStates.IsTerminal(status.State))
            return;
        IStepWork work = _works[step.WorkCase];
        await retry.RunAsync(work.Service, _ => { }, _ => work.CancelAsync(status.Job, cancellation), cancellation).ConfigureAwait(false);
        await FollowAsync(pipeline, status, work, _ => { }, cancellation).ConfigureAwait(false);
    }

    /// <summary>Asks the job of a running step to break off and waits until it has; jobs that cannot go on to their end by themselves.</summary>
    public async Task PauseAsync(string pipeline, PipelineStep step, CancellationToken cancellation)
    {
        StepStatus? status = store.FindStep(pipeline, step.Name);
        if (status is null || status.Job.Length == 0 || JobStates.IsTerminal(status.State))
            return;
        IStepWork work = _works[step.WorkCase];
        bool pauses = false;
        await retry.RunAsync(work.Service, _ => { }, async _ => pauses = await work.PauseAsync(status.Job, cancellation).ConfigureAwait(false), cancellation).ConfigureAwait(false);
        if (pauses)
            await FollowAsync(pipeline, status, work, _ => { }, cancellation, untilPaused: true).ConfigureAwait(false);
    }

    /// <summary>Lets the paused job of a step go on, if it has one.</summary>
    /// <exception cref="RpcException">What the service says; Unavailable where it does not answer.</exception>
    public async Task ResumeAsync(string pipeline, PipelineStep step, CancellationToken cancellation)
    {
        if (store.FindStep(pipeline, step.Name) is { Job.Length: > 0 } status && !JobStates.IsTerminal(status.State))
            await _works[step.WorkCase].ResumeAsync(status.Job, cancellation).ConfigureAwait(false);
    }

    private async Task<Job> FollowAsync(string pipeline, StepStatus status, IStepWork work, Action<string> waiting, CancellationToken cancellation, bool untilPaused = false)
    {
        StepOutcome? outcome = null;
        await retry.RunAsync(
            work.Service,
            waiting,
            async answered =>
            {
                do
                {
                    await foreach (JobEvent update in work.WatchAsync(status.Job, store.LastStepRevision(pipeline, status.Name), cancellation).ConfigureAwait(false))
                    {
                        answered();
                        store.Append(pipeline, status.Name, update);
                        if (update.EventCase == JobEvent.EventOneofCase.StateChanged && !JobStates.IsTerminal(update.StateChanged))
                            Save(pipeline, status, update.StateChanged);
                        if (untilPaused && update.StateChanged == JobState.Paused)
                            break;
                    }

                    outcome = await work.GetAsync(status.Job, cancellation).ConfigureAwait(false);
                }
                while (!JobStates.IsTerminal(outcome.Job.State) && !(untilPaused && outcome.Job.State == JobState.Paused));
            },
            cancellation).ConfigureAwait(false);
        status.Outputs.Clear();
        status.Outputs.Add(outcome!.Outputs.ToDictionary());
        Save(pipeline, status, outcome.Job.State);
        return outcome.Job;
    }

    private void Save(string pipeline, StepStatus status, JobState state)
    {
        status.State = state;
        store.SaveStep(pipeline, status);
    }

    [LoggerMessage(1, LogLevel.Information, "Step {Step} of {Pipeline} is {StepJob} of the {Service} service")]
    private partial void LogFollows(string step, string pipeline, string stepJob, string service);
}
