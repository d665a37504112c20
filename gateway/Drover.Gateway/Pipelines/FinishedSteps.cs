using Drover.Errors;
using Drover.Jobs;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Gateway.V1;

namespace Drover.Gateway.Pipelines;

/// <summary>The steps that a pipeline takes over from the one that it is a retry of.</summary>
internal sealed class FinishedSteps(PipelineStore store, JobQueue queue)
{
    /// <summary>Their statuses, in order; none for a pipeline that is no retry.</summary>
    /// <exception cref="DroverException">NotFound; InvalidArgument; FailedPrecondition.</exception>
    public IReadOnlyList<StepStatus> Of(PipelineSpec spec)
    {
        if (spec.Retry is not { } retry)
            return [];
        JobEntry source = queue.Get(retry.Pipeline, PipelineExecutor.KindName);
        if (!JobStates.IsTerminal(source.Job.State))
            throw new DroverException(FailureCode.FailedPrecondition, "PIPELINE_RUNS", $"'{retry.Pipeline}' has not ended; cancel it first, or let it go on.");
        if (spec.Steps.All(step => step.Name != retry.FromStep))
            throw new DroverException(FailureCode.InvalidArgument, "UNKNOWN_STEP", $"from_step '{retry.FromStep}' is no step; there are {string.Join(", ", spec.Steps.Select(step => step.Name))}.");
        PipelineSpec before = source.Spec<PipelineSpec>();
        var finished = new List<StepStatus>();
        foreach ((PipelineStep step, int i) in spec.Steps.Select((step, i) => (step, i)).TakeWhile(pair => pair.step.Name != retry.FromStep))
        {
            if (i >= before.Steps.Count || !before.Steps[i].Equals(step))
                throw new DroverException(FailureCode.FailedPrecondition, "STEP_DIFFERS", $"Step '{step.Name}' is not the one that '{retry.Pipeline}' did; start at it or before it.");
            if (store.FindStep(retry.Pipeline, step.Name) is not { State: JobState.Succeeded } status)
                throw new DroverException(FailureCode.FailedPrecondition, "STEP_NOT_FINISHED", $"Step '{step.Name}' of '{retry.Pipeline}' did not succeed; start at it or before it.");
            finished.Add(status);
        }

        return finished;
    }
}
