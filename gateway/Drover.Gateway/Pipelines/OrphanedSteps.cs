using Drover.Errors;
using Drover.Jobs;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Gateway.V1;

namespace Drover.Gateway.Pipelines;

/// <summary>
/// Once at start: cancels the running step of a pipeline whose cancel was asked for just before the gateway died.
/// </summary>
internal sealed class OrphanedSteps(PipelineStore store, JobQueue queue, StepRunner runner) : BackgroundService
{
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await Task.Yield();
        try
        {
            foreach ((string pipeline, StepStatus status) in store.Steps())
            {
                if (JobStates.IsTerminal(status.State))
                    continue;
                JobEntry entry = queue.Get(pipeline, PipelineExecutor.KindName);
                if (entry.Job.State == JobState.Cancelled)
                    await CancelAsync(pipeline, entry.Spec<PipelineSpec>().Steps.Single(step => step.Name == status.Name), stoppingToken).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // The gateway stops; the next start looks again.
        }
    }

    private async Task CancelAsync(string pipeline, PipelineStep step, CancellationToken cancellation)
    {
        try
        {
            await runner.CancelAsync(pipeline, step, cancellation).ConfigureAwait(false);
        }
        catch (DroverException)
        {
            // The service does not know the job any more, or does not answer for long: there is nothing left to stop.
        }
    }
}
