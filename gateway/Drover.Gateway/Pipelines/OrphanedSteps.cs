using Drover.Errors;
using Drover.Jobs;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Gateway.V1;

namespace Drover.Gateway.Pipelines;

/// <summary>
/// Once at start: cancels or pauses the running step of a pipeline of which that was asked just before the gateway died.
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
                PipelineStep step = entry.Spec<PipelineSpec>().Steps.Single(s => s.Name == status.Name);
                if (entry.Job.State == JobState.Cancelled)
                    await TryAsync(runner.CancelAsync(pipeline, step, stoppingToken)).ConfigureAwait(false);
                else if (entry.Job.State == JobState.Paused && status.State != JobState.Paused)
                    await TryAsync(runner.PauseAsync(pipeline, step, stoppingToken)).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // The gateway stops; the next start looks again.
        }
    }

    private static async Task TryAsync(Task stopping)
    {
        try
        {
            await stopping.ConfigureAwait(false);
        }
        catch (DroverException)
        {
            // The service does not know the job any more, or does not answer for long: there is nothing left to stop.
        }
    }
}
