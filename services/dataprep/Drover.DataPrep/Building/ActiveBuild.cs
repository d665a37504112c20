using Drover.Errors;
using Drover.Protocol.DataPrep.V1;

namespace Drover.DataPrep.Building;

/// <summary>A build that is running: which tasks wait, who holds which, what is done. Used under the coordinator's lock.</summary>
internal sealed class ActiveBuild
{
    private readonly SortedSet<int> _waiting = [];
    private readonly int[] _lostLeases;
    private readonly int[] _failures;
    private readonly TaskCompletionSource _finished = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _open;
    private TaskProgress _done;

    /// <summary>Begins with the tasks that have a record.</summary>
    public ActiveBuild(BuildPlan plan, TaskPhase phase, IReadOnlyDictionary<int, CompletionRecord> done)
    {
        Plan = plan;
        Phase = phase;
        Folder = BuildKeys.Of(plan).Folder;
        _lostLeases = new int[plan.Tasks.Count];
        _failures = new int[plan.Tasks.Count];
        for (int task = 0; task < plan.Tasks.Count; task++)
        {
            if (done.TryGetValue(task, out CompletionRecord? record))
                Count(record);
            else
                _waiting.Add(task);
        }

        _open = _waiting.Count;
        if (_open == 0)
            _finished.SetResult();
    }

    public BuildPlan Plan { get; }

    /// <summary>What is done with the tasks now.</summary>
    public TaskPhase Phase { get; }

    /// <summary>Names the build in tasks.</summary>
    public string Folder { get; }

    /// <summary>Leases by id.</summary>
    public Dictionary<string, TaskLease> Leases { get; } = [];

    /// <summary>Ends when every task is done, or with the failure that stops the build.</summary>
    public Task Finished => _finished.Task;

    /// <summary>Of tasks done, and what leases told.</summary>
    public TaskProgress Progress => Leases.Values.Aggregate(_done, (sum, lease) => Sum(sum, lease.Progress));

    public int? TakeWaiting()
    {
        if (_finished.Task.IsCompleted || _waiting.Count == 0)
            return null;
        int task = _waiting.Min;
        _waiting.Remove(task);
        return task;
    }

    public void Complete(string lease, CompletionRecord record)
    {
        Leases.Remove(lease);
        Count(record);
        if (--_open == 0)
            _finished.TrySetResult();
    }

    /// <summary>Takes back what nobody renewed in time.</summary>
    public void Expire(DateTimeOffset now, int mostLost)
    {
        foreach ((string id, TaskLease lease) in Leases.Where(l => l.Value.Deadline <= now).ToList())
        {
            Leases.Remove(id);
            _waiting.Add(lease.Task);
            if (++_lostLeases[lease.Task] >= mostLost)
            {
                Stop(new DroverException(FailureCode.Aborted, "TASK_KEEPS_DYING",
                    $"Task {lease.Task} of '{Plan.Dataset}' ({Place(lease.Task)}) was lost {mostLost} times: its workers die or hang. Give them more memory, or choose a smaller task_bytes."));
            }
        }
    }

    public void GiveBack(string lease, DroverException? failure, int mostFailures)
    {
        Leases.Remove(lease, out TaskLease? held);
        _waiting.Add(held!.Task);
        if (failure is null)
            return;
        bool passing = failure.Code is FailureCode.Unavailable or FailureCode.DeadlineExceeded or FailureCode.Unknown or FailureCode.Aborted;
        if (!passing || ++_failures[held.Task] >= mostFailures)
            Stop(new DroverException(failure.Code, failure.Reason, $"Task {held.Task} of '{Plan.Dataset}' ({Place(held.Task)}) failed: {failure.Message}", failure));
    }

    private void Count(CompletionRecord record) =>
        _done = Sum(_done, new TaskProgress(Plan.Tasks[record.Task].Length, record.Counts.LinesIn, record.Counts.Totals().TokensIn));

    private static TaskProgress Sum(TaskProgress a, TaskProgress b) => new(a.Bytes + b.Bytes, a.Documents + b.Documents, a.Tokens + b.Tokens);

    private void Stop(DroverException failure) => _finished.TrySetException(failure);

    private string Place(int task)
    {
        PlannedPiece first = Plan.Tasks[task].Pieces[0];
        return $"'{Plan.Sources[first.Source].Key}' from line {first.FirstLine}";
    }
}

/// <summary>A task in a worker's hands.</summary>
internal sealed class TaskLease
{
    public required int Task { get; init; }

    public required string Worker { get; init; }

    public required DateTimeOffset Deadline { get; set; }

    public TaskProgress Progress { get; set; }
}
