using System.Runtime.CompilerServices;
using Drover.DataPrep.Building;
using Drover.Errors;
using Drover.ObjectStore;
using Drover.Protocol.Common.V1;
using Drover.Protocol.DataPrep.V1;
using Grpc.Core;

namespace Drover.DataPrep.Workers;

/// <summary>
/// Leases tasks, does them, and says so: one at a time. It may come and go at any moment. It holds a slot while it computes, so that more
/// workers than slots keep the cores busy: one stores what it made while another begins.
/// </summary>
internal sealed partial class TaskWorker(string name, SemaphoreSlim slots, DataPrepWorkerService.DataPrepWorkerServiceClient client, IObjectStore store, BuildTask tasks, TimeProvider time, ILogger logger)
{
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan LongestSilence = TimeSpan.FromSeconds(2);
    private (string Folder, BuildPlan Plan)? _plan;

    /// <summary>Works until it is told to stop.</summary>
    public async Task RunAsync(CancellationToken stopping)
    {
        while (!stopping.IsCancellationRequested)
        {
            var slot = new HeldSlot(slots);
            try
            {
                await slot.TakeAsync(stopping).ConfigureAwait(false);
                LeaseTaskResponse leased = await client.LeaseTaskAsync(new LeaseTaskRequest { Worker = name }, cancellationToken: stopping).ConfigureAwait(false);
                if (leased.Task is not null)
                    await DoAsync(leased, slot, stopping).ConfigureAwait(false);
            }
            catch (Exception) when (stopping.IsCancellationRequested)
            {
                return;
            }
            catch (RpcException e)
            {
                // The service is not up yet, or went away: its tasks wait for it to come back.
                LogNoService(logger, name, e.Status.Detail);
                await Task.Delay(RetryPause, time, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            finally
            {
                slot.GiveBack();
            }
        }
    }

    private async Task DoAsync(LeaseTaskResponse leased, HeldSlot slot, CancellationToken stopping)
    {
        using var lost = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        using var finished = new CancellationTokenSource();
        var done = new StrongBox<TaskProgress>();
        Task renewing = RenewAsync(leased, () => Read(done), lost, finished.Token);
        DroverException? failure = null;
        try
        {
            BuildPlan plan = await PlanAsync(leased.Task.Build, lost.Token).ConfigureAwait(false);
            await Task.Run(() => tasks.RunAsync(plan, leased.Task.Phase, leased.Task.Task, p => Write(done, p), slot.GiveBack, lost.Token), lost.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            failure = new DroverException(FailureCode.Cancelled, "WORKER_STOPPED", "The worker stops.");
        }
        catch (DroverException e)
        {
            failure = e;
        }
        catch (Exception e)
        {
            LogFailed(logger, leased.Task.Task, leased.Task.Build, e);
            failure = new DroverException(FailureCode.Internal, "TASK_FAILED", $"{e.GetType().Name}: {e.Message}", e);
        }
        finally
        {
            await finished.CancelAsync().ConfigureAwait(false);
            await renewing.ConfigureAwait(false);
        }

        await ReportAsync(leased.Lease, failure).ConfigureAwait(false);
    }

    // Tasks of one build come one after the other.
    private async Task<BuildPlan> PlanAsync(string folder, CancellationToken cancellation)
    {
        if (_plan?.Folder != folder)
            _plan = (folder, await new BuildPlanner(store).LoadAsync(new BuildKeys(folder), cancellation).ConfigureAwait(false));
        return _plan.Value.Plan;
    }

    private static TaskProgress Read(StrongBox<TaskProgress> done)
    {
        lock (done)
            return done.Value;
    }

    private static void Write(StrongBox<TaskProgress> done, TaskProgress progress)
    {
        lock (done)
            done.Value = progress;
    }

    private async Task ReportAsync(string lease, DroverException? failure)
    {
        try
        {
            // Not cancelled with the worker: a task given back at once need not run out.
            DateTime deadline = time.GetUtcNow().UtcDateTime.AddSeconds(5);
            if (failure is null)
            {
                await client.CompleteTaskAsync(new CompleteTaskRequest { Lease = lease }, deadline: deadline).ConfigureAwait(false);
                return;
            }

            var told = new JobFailure { Code = (int)failure.Code, Reason = failure.Reason, Message = failure.Message };
            await client.FailTaskAsync(new FailTaskRequest { Lease = lease, Failure = told }, deadline: deadline).ConfigureAwait(false);
        }
        catch (RpcException e) when (e.StatusCode == StatusCode.FailedPrecondition)
        {
            // Somebody else has the task by now and finds the record; or there is none, and it is leased again.
            LogLost(logger, lease, e.Status.Detail);
        }
    }

    private async Task RenewAsync(LeaseTaskResponse leased, Func<TaskProgress> done, CancellationTokenSource lost, CancellationToken finished)
    {
        TimeSpan interval = TimeSpan.FromSeconds(leased.LeaseSeconds / 3.0);
        if (interval > LongestSilence)
            interval = LongestSilence;
        while (true)
        {
            await Task.Delay(interval, time, finished).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (finished.IsCancellationRequested)
                return;
            try
            {
                TaskProgress now = done();
                var request = new RenewLeaseRequest { Lease = leased.Lease, DoneBytes = now.Bytes, DoneDocuments = now.Documents, DoneTokens = now.Tokens };
                await client.RenewLeaseAsync(request, cancellationToken: finished).ConfigureAwait(false);
            }
            catch (RpcException e) when (e.StatusCode == StatusCode.FailedPrecondition)
            {
                await lost.CancelAsync().ConfigureAwait(false);
                return;
            }
            catch (RpcException)
            {
                // Not reachable for a moment: the lease may outlive that; if not, the next answer says so.
            }
        }
    }

    [LoggerMessage(Level = LogLevel.Debug, Message = "Worker {Worker}: no task, {Why}")]
    private static partial void LogNoService(ILogger logger, string worker, string why);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Lease {Lease}: {Why}")]
    private static partial void LogLost(ILogger logger, string lease, string why);

    [LoggerMessage(Level = LogLevel.Error, Message = "Task {Task} of {Build} failed")]
    private static partial void LogFailed(ILogger logger, int task, string build, Exception exception);

    /// <summary>A slot that is given back once, whoever does it first.</summary>
    private sealed class HeldSlot(SemaphoreSlim slots)
    {
        private int _held;

        public async Task TakeAsync(CancellationToken cancellation)
        {
            await slots.WaitAsync(cancellation).ConfigureAwait(false);
            _held = 1;
        }

        public void GiveBack()
        {
            if (Interlocked.Exchange(ref _held, 0) == 1)
                slots.Release();
        }
    }
}
