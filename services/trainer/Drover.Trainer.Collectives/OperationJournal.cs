namespace Drover.Trainer.Collectives;

/// <summary>A group as other processes know it.</summary>
/// <param name="Id">The same on all its ranks, and of no other group.</param>
/// <param name="Axis">Its name.</param>
/// <param name="Members">World ranks, by rank in the group.</param>
internal sealed record WatchedGroup(string Id, string Axis, int[] Members);

/// <summary>What a rank has started and what it waits in, so that it can tell the others.</summary>
internal sealed class OperationJournal
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, long> _started = [];
    private (WatchedGroup Group, Operation Operation)? _last;
    private Noted? _waiting;
    private long _waitingSince;

    /// <summary>Notes that an operation was started; the handle notes when it is waited for.</summary>
    public ICollectiveHandle Note(WatchedGroup group, Operation operation, ICollectiveHandle handle)
    {
        lock (_lock)
        {
            _last = (group, operation);
            if (!operation.IsMessage)
                _started[group.Id] = operation.Number;
        }

        return new Noted(this, group, operation, handle);
    }

    /// <summary>Fills in what this rank does now.</summary>
    public RankBeat Describe(RankBeat beat)
    {
        lock (_lock)
        {
            beat = beat with { Started = new Dictionary<string, long>(_started), Last = _last is { } last ? last.Operation.On(last.Group.Axis, last.Group.Members) : "" };
            if (_waiting is null)
                return beat;
            (WatchedGroup group, Operation operation) = (_waiting.Group, _waiting.Operation);
            return beat with
            {
                Last = operation.On(group.Axis, group.Members),
                Wait = new RankWait(
                    group.Id,
                    operation.IsMessage ? -1 : operation.Number,
                    operation.IsMessage ? [group.Members[operation.Peer]] : group.Members,
                    (Environment.TickCount64 - _waitingSince) / 1000.0),
            };
        }
    }

    private sealed class Noted(OperationJournal journal, WatchedGroup group, Operation operation, ICollectiveHandle handle) : ICollectiveHandle
    {
        public WatchedGroup Group => group;

        public Operation Operation => operation;

        public void Wait()
        {
            lock (journal._lock)
                (journal._waiting, journal._waitingSince) = (this, Environment.TickCount64);
            try
            {
                handle.Wait();
            }
            finally
            {
                lock (journal._lock)
                    journal._waiting = null;
            }
        }
    }
}
