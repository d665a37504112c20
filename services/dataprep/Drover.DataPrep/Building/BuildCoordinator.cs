using Drover.Errors;
using Drover.ObjectStore;
using Drover.Protocol.DataPrep.V1;
using Google.Protobuf.WellKnownTypes;

namespace Drover.DataPrep.Building;

/// <summary>
/// Hands out the tasks of running builds. It holds nothing that may not be lost: what is done stands in completion
/// records, and a build that starts again begins from those.
/// </summary>
internal sealed class BuildCoordinator(IObjectStore store, TimeProvider time, TimeSpan leaseTime)
{
    // A task that kills its workers (by want of memory) is found out, and workers that are killed at random do not stop a build.
    private const int MostLostLeases = 10;
    private const int MostFailures = 3;
    private readonly Lock _lock = new();
    private readonly List<ActiveBuild> _builds = [];
    // When each was heard of last.
    private readonly Dictionary<string, DateTimeOffset> _workers = new(StringComparer.Ordinal);
    private TaskCompletionSource _work = NewSignal();

    /// <summary>How long a lease lasts, whole seconds.</summary>
    public int LeaseSeconds => (int)leaseTime.TotalSeconds;

    /// <summary>Begins a phase of a build, or goes on with it: tasks that have a valid record are not done again.</summary>
    /// <exception cref="DroverException">Aborted when this dataset is being built already.</exception>
    public async Task<ActiveBuild> StartAsync(BuildPlan plan, TaskPhase phase, CancellationToken cancellation)
    {
        var done = new Dictionary<int, CompletionRecord>();
        BuildKeys keys = BuildKeys.Of(plan);
        var there = new HashSet<string>(StringComparer.Ordinal);
        await foreach (ObjectInfo info in store.ListAsync(keys.Records(phase) + "/", cancellation).ConfigureAwait(false))
            there.Add(info.Key);
        for (int task = 0; task < plan.Tasks.Count; task++)
        {
            if (there.Contains(keys.Record(phase, task)) && await CompletionRecord.FindAsync(store, plan, phase, task, cancellation).ConfigureAwait(false) is { } record)
                done.Add(task, record);
        }

        var build = new ActiveBuild(plan, phase, done);
        lock (_lock)
        {
            if (_builds.Any(b => b.Plan.Dataset == plan.Dataset))
                throw new DroverException(FailureCode.Aborted, "DATASET_BEING_BUILT", $"'{plan.Dataset}' is being built by another job. Wait for it, or cancel it.");
            _builds.Add(build);
        }

        Wake();
        return build;
    }

    /// <summary>Forgets a build; its leases are lost.</summary>
    public void End(ActiveBuild build)
    {
        lock (_lock)
            _builds.Remove(build);
    }

    /// <summary>What is done so far.</summary>
    public TaskProgress Progress(ActiveBuild build)
    {
        lock (_lock)
            return build.Progress;
    }

    /// <summary>The next task of the oldest build that has one; empty when there is none.</summary>
    public LeaseTaskResponse Lease(string worker = "")
    {
        lock (_lock)
        {
            DateTimeOffset now = time.GetUtcNow();
            _workers[worker] = now;
            foreach (ActiveBuild build in _builds)
            {
                build.Expire(now, MostLostLeases);
                if (build.TakeWaiting() is not { } task)
                    continue;
                string id = Guid.NewGuid().ToString("N");
                build.Leases[id] = new TaskLease { Task = task, Worker = worker, Deadline = now + leaseTime };
                return new LeaseTaskResponse
                {
                    Lease = id,
                    LeaseSeconds = LeaseSeconds,
                    Task = new DatasetTask { Build = build.Folder, Task = task, Phase = build.Phase },
                };
            }
        }

        return new LeaseTaskResponse();
    }

    /// <summary>The next task; waits a while for one when there is none.</summary>
    public async Task<LeaseTaskResponse> LeaseAsync(TimeSpan wait, CancellationToken cancellation, string worker = "")
    {
        Task work;
        lock (_lock)
            work = _work.Task;
        LeaseTaskResponse leased = Lease(worker);
        if (leased.Task is not null)
            return leased;
        try
        {
            await work.WaitAsync(wait, time, cancellation).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            // Nothing new; leases may have run out meanwhile.
        }

        return Lease(worker);
    }

    /// <summary>Who was heard of lately, by name, and what each does.</summary>
    public IReadOnlyList<Worker> Workers()
    {
        lock (_lock)
        {
            DateTimeOffset now = time.GetUtcNow();
            foreach (string gone in _workers.Where(worker => worker.Key.Length == 0 || worker.Value + (2 * leaseTime) < now).Select(worker => worker.Key).ToList())
                _workers.Remove(gone);
            return [.. _workers.OrderBy(worker => worker.Key, StringComparer.Ordinal).Select(worker => Describe(worker.Key, worker.Value))];
        }
    }

    /// <summary>Keeps a lease.</summary>
    /// <exception cref="DroverException">FailedPrecondition when it was lost.</exception>
    public void Renew(string lease, TaskProgress progress)
    {
        lock (_lock)
        {
            ActiveBuild build = Holding(lease);
            TaskLease held = build.Leases[lease];
            held.Deadline = time.GetUtcNow() + leaseTime;
            _workers[held.Worker] = time.GetUtcNow();
            held.Progress = progress with { Bytes = Math.Clamp(progress.Bytes, 0, build.Plan.Tasks[held.Task].Length) };
        }
    }

    /// <summary>Takes a task as done when its record says so.</summary>
    /// <exception cref="DroverException">FailedPrecondition when the lease was lost or there is no valid record.</exception>
    public async Task CompleteAsync(string lease, CancellationToken cancellation)
    {
        ActiveBuild build;
        int task;
        lock (_lock)
        {
            build = Holding(lease);
            task = build.Leases[lease].Task;
        }

        CompletionRecord? record = await CompletionRecord.FindAsync(store, build.Plan, build.Phase, task, cancellation).ConfigureAwait(false);
        lock (_lock)
        {
            Holding(lease);
            if (record is not null)
            {
                build.Complete(lease, record);
                return;
            }
        }

        throw new DroverException(FailureCode.FailedPrecondition, "NO_COMPLETION_RECORD", $"Task {task} of '{build.Plan.Dataset}' has no valid completion record in the object store. Do the service and its workers use the same store?");
    }

    /// <summary>Takes a task back. Without a failure, or with one that may pass, somebody else tries it.</summary>
    public void Fail(string lease, DroverException? failure)
    {
        lock (_lock)
            Holding(lease).GiveBack(lease, failure, MostFailures);
        Wake();
    }

    private Worker Describe(string name, DateTimeOffset seen)
    {
        var worker = new Worker { Name = name, LastSeenTime = Timestamp.FromDateTimeOffset(seen) };
        foreach (ActiveBuild build in _builds)
        {
            if (build.Leases.Values.FirstOrDefault(lease => lease.Worker == name) is not { } held)
                continue;
            (worker.Dataset, worker.Phase, worker.Task, worker.Tasks) = (build.Plan.Dataset, build.Phase, held.Task, build.Plan.Tasks.Count);
            (worker.DoneBytes, worker.TotalBytes) = (held.Progress.Bytes, build.Plan.Tasks[held.Task].Length);
        }

        return worker;
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private ActiveBuild Holding(string lease)
    {
        DateTimeOffset now = time.GetUtcNow();
        foreach (ActiveBuild build in _builds)
        {
            build.Expire(now, MostLostLeases);
            if (build.Leases.ContainsKey(lease))
                return build;
        }

        throw new DroverException(FailureCode.FailedPrecondition, "LEASE_LOST", $"Lease '{lease}' was lost: it was not renewed in time, or its build ended. Stop the task.");
    }

    private void Wake()
    {
        TaskCompletionSource work;
        lock (_lock)
        {
            work = _work;
            _work = NewSignal();
        }

        work.SetResult();
    }
}
