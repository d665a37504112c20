using Drover.Protocol.Common.V1;

namespace Drover.Jobs;

/// <summary>
/// The queued jobs of a service in the order in which they begin: of the highest priority first; of those, first the owner who has the
/// fewest running; of those, the oldest. The first one waits until the cores and the memory that it asks for are free, and nobody passes
/// it meanwhile, so none waits for ever. One that asks for more than there is runs alone.
/// </summary>
internal sealed class WaitingJobs(JobCapacity capacity)
{
    private readonly Lock _gate = new();
    private readonly List<Job> _waiting = [];
    private readonly Dictionary<string, Job> _running = new(StringComparer.Ordinal);
    private volatile TaskCompletionSource _change = NewSignal();

    /// <summary>A job is queued. Told twice, it waits once.</summary>
    public void Add(Job job)
    {
        lock (_gate)
        {
            if (_waiting.All(waiting => waiting.Name != job.Name))
                _waiting.Add(job);
        }

        Signal();
    }

    /// <summary>A job is not queued any more.</summary>
    public void Remove(string name)
    {
        lock (_gate)
            _waiting.RemoveAll(waiting => waiting.Name == name);
        Signal();
    }

    /// <summary>A job that was taken has ended or gave up its place.</summary>
    public void End(string name)
    {
        lock (_gate)
            _running.Remove(name);
        Signal();
    }

    /// <summary>Waits until a job may begin, and counts it as running.</summary>
    public async Task<string> TakeAsync(CancellationToken cancellation)
    {
        while (true)
        {
            // Taken before looking, so that a change between the look and the wait is not slept through.
            Task change = _change.Task;
            if (TryTake() is { } name)
                return name;
            await change.WaitAsync(cancellation).ConfigureAwait(false);
        }
    }

    /// <summary>The first job, counted as running from now on; null where there is none, or it must wait.</summary>
    public string? TryTake()
    {
        lock (_gate)
        {
            if (First() is not { } first || !Fits(first))
                return null;
            _waiting.Remove(first);
            _running[first.Name] = first;
            return first.Name;
        }
    }

    // Equal ones stay in the order in which they came. One that was resumed before its last start has left its slot waits for that.
    private Job? First() => _waiting.Where(job => !_running.ContainsKey(job.Name)).OrderByDescending(job => job.Priority).ThenBy(job => _running.Values.Count(running => running.Owner == job.Owner)).FirstOrDefault();

    private bool Fits(Job job)
    {
        static bool Has(long total, long held, long asked) => total == 0 || asked == 0 || held == 0 || held + asked <= total;
        return Has(capacity.Cores, _running.Values.Sum(running => (long)running.Cores), job.Cores) && Has(capacity.MemoryBytes, _running.Values.Sum(running => running.MemoryBytes), job.MemoryBytes);
    }

    private void Signal()
    {
        lock (_gate)
        {
            _change.TrySetResult();
            _change = NewSignal();
        }
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
