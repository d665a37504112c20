using Drover.Errors;
using Drover.Gateway.Pipelines.Steps;
using Drover.Jobs;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Gateway.V1;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;

namespace Drover.Gateway.Pipelines;

/// <summary>Runs the steps of a pipeline in order. Started again after a restart of the gateway, it goes on where it was.</summary>
internal sealed class PipelineExecutor(PipelineStore store, PipelineHistory history, StepRunner runner, FinishedSteps finished, JobQueue queue, IHostApplicationLifetime lifetime) : JobExecutor<PipelineSpec, Empty>
{
    /// <summary>The kind of pipelines' jobs.</summary>
    public const string KindName = "pipeline";

    /// <inheritdoc />
    public override string Kind => KindName;

    /// <inheritdoc />
    public override async Task<Empty> RunAsync(JobContext job, PipelineSpec spec, CancellationToken cancellation)
    {
        TakeOver(job, spec);
        var outputs = new Dictionary<string, StepStatus>(StringComparer.Ordinal);
        for (int i = 0; i < spec.Steps.Count; i++)
        {
            PipelineStep step = spec.Steps[i];
            StepStatus? status = store.FindStep(job.Name, step.Name);
            if (status?.State != JobState.Succeeded)
            {
                job.Report(step.Name, i, spec.Steps.Count, "steps");
                await history.CatchUpAsync(job.Name, cancellation).ConfigureAwait(false);
                status = await RunStepAsync(job, spec, step, outputs, cancellation).ConfigureAwait(false);
            }

            outputs[step.Name] = status;
        }

        job.Report("done", spec.Steps.Count, spec.Steps.Count, "steps");
        return new Empty();
    }

    private void TakeOver(JobContext job, PipelineSpec spec)
    {
        StepStatus[] missing = [.. finished.Of(spec).Where(status => store.FindStep(job.Name, status.Name) is null)];
        foreach (StepStatus status in missing)
            store.SaveStep(job.Name, status);
        if (missing.Length > 0)
            job.Log(LogLine.Types.Severity.Info, $"Taken over from {spec.Retry.Pipeline}: {string.Join(", ", missing.Select(status => status.Name))}.");
    }

    private async Task<StepStatus> RunStepAsync(JobContext job, PipelineSpec spec, PipelineStep step, Dictionary<string, StepStatus> outputs, CancellationToken cancellation)
    {
        try
        {
            cancellation.ThrowIfCancellationRequested();
            return await runner.RunAsync(job, step, Resolve(spec, step, outputs), cancellation).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested && queue.Get(job.Name, Kind).Job.State == JobState.Cancelling)
        {
            await runner.CancelAsync(job.Name, step, lifetime.ApplicationStopping).ConfigureAwait(false);
            throw;
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested && queue.Get(job.Name, Kind).Job.State == JobState.Pausing)
        {
            await runner.PauseAsync(job.Name, step, lifetime.ApplicationStopping).ConfigureAwait(false);
            // It may have been cancelled meanwhile.
            if (queue.Get(job.Name, Kind).Job.State == JobState.Cancelling)
                await runner.CancelAsync(job.Name, step, lifetime.ApplicationStopping).ConfigureAwait(false);
            throw;
        }
    }

    private static IMessage Resolve(PipelineSpec spec, PipelineStep step, Dictionary<string, StepStatus> outputs)
    {
        IMessage resolved = StepKinds.SpecOf(step.Clone())!;
        StepReferences.Resolve(resolved, reference => reference.Split('.') switch
        {
            ["inputs", var input] => spec.Inputs[input],
            ["steps", var name, var output] when outputs[name].Outputs.TryGetValue(output, out string? value) => value,
            _ => throw new DroverException(FailureCode.FailedPrecondition, "OUTPUT_MISSING", $"Step '{step.Name}' needs '${{{reference}}}', which that step did not give."),
        });
        StepKinds.FillName(resolved, $"{spec.Name}-{step.Name}");
        return resolved;
    }
}
