using System.Diagnostics;
using Drover.Errors;
using Drover.Protocol;
using Drover.Protocol.Common.V1;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Drover.Jobs;

/// <summary>
/// Runs queued jobs in the order of <see cref="WaitingJobs"/>, <see cref="JobsOptions.Slots"/> at a time. When the service stops, running jobs go back
/// to the queue and are run again at the next start.
/// </summary>
internal sealed partial class JobRunner(JobQueue queue, IEnumerable<IJobExecutor> executors, JobsOptions options, TimeProvider time, ILogger<JobRunner> logger) : BackgroundService
{
    private readonly Dictionary<string, IJobExecutor> _executors = executors.ToDictionary(e => e.Kind, StringComparer.Ordinal);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        Task[] slots = [.. Enumerable.Range(0, options.Slots).Select(_ => RunSlotAsync(stoppingToken))];
        await Task.WhenAll(slots).ConfigureAwait(false);
    }

    private async Task RunSlotAsync(CancellationToken stopping)
    {
        await Task.Yield();
        try
        {
            while (true)
                await RunJobAsync(await queue.Waiting.TakeAsync(stopping).ConfigureAwait(false), stopping).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // The service stops.
        }
    }

    private async Task RunJobAsync(string name, CancellationToken stopping)
    {
        // Before the state moves, so that a cancel that sees RUNNING finds the token.
        CancellationTokenSource running = queue.Running(name, stopping);
        try
        {
            JobEntry entry = queue.Update(name, job => job.State == JobState.Queued ? queue.Move(job, JobState.Running) : null);
            if (entry.Job.State != JobState.Running)
                return; // cancelled or paused while it waited
            using IDisposable? scope = logger.BeginScope(new JobScope(entry.Job));
            LogStarted(name, entry.Job.Attempt);
            await ExecuteJobAsync(entry, running.Token, stopping).ConfigureAwait(false);
        }
        finally
        {
            queue.Finished(name);
            queue.Waiting.End(name);
        }
    }

    private async Task ExecuteJobAsync(JobEntry entry, CancellationToken cancellation, CancellationToken stopping)
    {
        string name = entry.Job.Name;
        using Activity? span = StartSpan(entry.Job);
        try
        {
            if (!_executors.TryGetValue(entry.Job.Kind, out IJobExecutor? executor))
                throw new DroverException(FailureCode.Internal, "NO_EXECUTOR", $"This service cannot do jobs of kind '{entry.Job.Kind}'.");
            byte[] result = await executor.RunAsync(new JobContext(queue, entry.Job, time, logger), entry.SpecBytes, cancellation).ConfigureAwait(false);
            queue.Update(name, job => queue.Move(job, job.State == JobState.Cancelling ? JobState.Cancelled : JobState.Succeeded), result);
            LogEnded(name, "done");
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            JobEntry ended = queue.Update(name, job => queue.Move(job, JobStates.AfterStop(job.State)));
            LogEnded(name, ended.Job.State == JobState.Queued ? "back in the queue: the service stops" : ended.Job.State.ToString().ToLowerInvariant());
        }
        catch (DroverException e)
        {
            Fail(name, e.Code, e.Reason, e.Message);
            span?.SetStatus(ActivityStatusCode.Error, e.Message);
            // Expected: its message says all, and a stack trace would only look like a fault of ours.
            LogFailed(name, e.Message, null);
        }
        catch (Exception e) when (!stopping.IsCancellationRequested)
        {
            span?.SetStatus(ActivityStatusCode.Error, e.Message);
            // A fault of ours: the user gets one line, the log gets the rest.
            Fail(name, FailureCode.Internal, "INTERNAL", $"The job failed inside Drover: {e.Message} The service's log has the details under '{name}'.");
            LogFailed(name, e.Message, e);
        }
    }

    private static Activity? StartSpan(Job job)
    {
        Activity? span = JobTracing.Source.StartActivity($"job {job.Kind}", ActivityKind.Internal, job.TraceParent.Length > 0 ? job.TraceParent : null);
        span?.SetTag("drover.job", job.Name).SetTag("drover.attempt", job.Attempt).SetTag("drover.owner", job.Owner);
        return span;
    }

    private void Fail(string name, FailureCode code, string reason, string message) =>
        queue.Update(name, job =>
        {
            job.Failure = new JobFailure { Code = (int)code, Reason = reason, Message = message };
            return queue.Move(job, JobState.Failed);
        });

    [LoggerMessage(1, LogLevel.Information, "{Job} started, attempt {Attempt}")]
    private partial void LogStarted(string job, int attempt);

    [LoggerMessage(2, LogLevel.Information, "{Job} ended: {How}")]
    private partial void LogEnded(string job, string how);

    [LoggerMessage(3, LogLevel.Error, "{Job} failed: {Reason}")]
    private partial void LogFailed(string job, string reason, Exception? exception);
}
