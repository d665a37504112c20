using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Drover.Errors;
using Drover.Protocol.Common.V1;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;

namespace Drover.Jobs;

/// <summary>
/// The jobs of one service: created once per request id, durable, listed, watched from any revision, cancelled.
/// What runs them is <see cref="JobRunner"/>.
/// </summary>
public sealed class JobQueue : IDisposable
{
    private const int EventsPerRead = 256;
    private readonly JobDatabase _database;
    private readonly TimeProvider _time;
    private readonly ConcurrentDictionary<string, TaskCompletionSource> _changes = new();
    private readonly ConcurrentDictionary<string, CancellationTokenSource> _running = new();
    private readonly Channel<string> _ready = Channel.CreateUnbounded<string>();

    /// <summary>Opens or makes the database.</summary>
    public JobQueue(JobsOptions options, TimeProvider time)
    {
        _time = time;
        _database = new JobDatabase(options.DatabasePath, time);
        foreach (JobEntry entry in _database.Unfinished())
        {
            Requeue(entry.Job);
            if (entry.Job.State != JobState.Cancelling)
                _ready.Writer.TryWrite(entry.Job.Name);
        }
    }

    internal ChannelReader<string> Ready => _ready.Reader;

    /// <summary>The job of a request id: a new one, or the one that this id made before.</summary>
    /// <param name="kind">Kind of work; an executor of this kind must be registered.</param>
    /// <param name="requestId">The caller's id; empty means "always a new job".</param>
    /// <param name="spec">What to do.</param>
    /// <exception cref="DroverException">AlreadyExists when the id was used with another spec.</exception>
    public JobEntry Create(string kind, string requestId, IMessage spec)
    {
        string id = requestId.Length > 0 ? requestId : Guid.NewGuid().ToString();
        (JobEntry entry, bool isNew) = _database.Create(kind, id, spec.ToByteArray());
        if (isNew)
            _ready.Writer.TryWrite(entry.Job.Name);
        return entry;
    }

    /// <summary>A job that must be there and of this kind ("" for any).</summary>
    public JobEntry Get(string name, string kind) =>
        _database.Find(name) is { } entry && (kind.Length == 0 || entry.Job.Kind == kind) ? entry : throw JobDatabase.NotFound(name);

    /// <summary>Jobs of a kind ("" for all), newest first; only those in one of <paramref name="states"/>, when there are any.</summary>
    public JobPage List(string kind, int pageSize, string pageToken, params IEnumerable<JobState> states) => _database.List(kind, pageSize, pageToken, states);

    /// <summary>Asks a job to stop. A job that is finished stays as it is.</summary>
    public JobEntry Cancel(string name, string kind)
    {
        Get(name, kind);
        JobEntry entry = Update(name, job =>
        {
            JobState next = job.State == JobState.Queued ? JobState.Cancelled : JobState.Cancelling;
            return JobStates.MayFollow(job.State, next) ? Move(job, next) : null;
        });
        if (_running.TryGetValue(name, out CancellationTokenSource? source))
            source.Cancel();
        return entry;
    }

    /// <summary>Events after <paramref name="fromRevision"/>, old ones first, then new ones as they come, until the job ends.</summary>
    /// <exception cref="DroverException">OutOfRange for a revision that is not there yet.</exception>
    public async IAsyncEnumerable<JobEvent> WatchAsync(string name, string kind, long fromRevision, [EnumeratorCancellation] CancellationToken cancellation)
    {
        JobEntry entry = Get(name, kind);
        if (fromRevision < 0 || fromRevision > entry.Job.Revision)
            throw new DroverException(FailureCode.OutOfRange, "REVISION_IN_FUTURE", $"Job '{name}' is at revision {entry.Job.Revision}; from_revision is {fromRevision}.");
        for (long revision = fromRevision; ;)
        {
            // Taken before reading, so that an event between the read and the wait is not slept through.
            Task change = _changes.GetOrAdd(name, _ => NewSignal()).Task;
            bool ended = JobStates.IsTerminal(Get(name, kind).Job.State);
            IReadOnlyList<JobEvent> events = _database.Events(name, revision, EventsPerRead);
            foreach (JobEvent update in events)
            {
                revision = update.Revision;
                yield return update;
            }

            if (events.Count == EventsPerRead)
                continue;
            if (ended)
                yield break;
            await change.WaitAsync(cancellation).ConfigureAwait(false);
        }
    }

    /// <inheritdoc />
    public void Dispose() => _database.Dispose();

    internal JobEntry Update(string name, Func<Job, JobEvent?> change, byte[]? result = null)
    {
        JobEntry entry = _database.Update(name, change, result);
        if (_changes.TryRemove(name, out TaskCompletionSource? signal))
            signal.TrySetResult();
        return entry;
    }

    internal JobEvent Move(Job job, JobState state)
    {
        if (!JobStates.MayFollow(job.State, state))
            throw new DroverException(FailureCode.Internal, "ILLEGAL_JOB_STATE", $"Job '{job.Name}' cannot go from {job.State} to {state}.");
        job.State = state;
        if (state == JobState.Running)
        {
            job.Attempt++;
            job.StartTime ??= Now();
        }
        else if (JobStates.IsTerminal(state))
        {
            job.EndTime = Now();
        }

        return new JobEvent { StateChanged = state };
    }

    internal CancellationTokenSource Running(string name, CancellationToken stopping) =>
        _running[name] = CancellationTokenSource.CreateLinkedTokenSource(stopping);

    internal void Finished(string name)
    {
        if (_running.TryRemove(name, out CancellationTokenSource? source))
            source.Dispose();
    }

    private void Requeue(Job job)
    {
        if (job.State == JobState.Running)
            Update(job.Name, j => Move(j, JobState.Queued));
        // Cancelled while the service was down: nothing runs any more, so it is at its end.
        else if (job.State == JobState.Cancelling)
            Update(job.Name, j => Move(j, JobState.Cancelled));
    }

    private Timestamp Now() => Timestamp.FromDateTimeOffset(_time.GetUtcNow());

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
