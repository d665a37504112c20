using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Drover.Errors;
using Drover.Protocol.Common.V1;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;

namespace Drover.Jobs;

/// <summary>
/// The jobs of one service: created once per request id, durable, listed, watched from any revision, paused, cancelled.
/// What runs them is <see cref="JobRunner"/>.
/// </summary>
public sealed class JobQueue : IDisposable
{
    private const int EventsPerRead = 256;
    private readonly JobDatabase _database;
    private readonly TimeProvider _time;
    private readonly ConcurrentDictionary<string, TaskCompletionSource> _changes = new();
    private readonly ConcurrentDictionary<string, CancellationTokenSource> _running = new();

    /// <summary>Opens or makes the database.</summary>
    /// <param name="options">Where it is.</param>
    /// <param name="time">The clock.</param>
    /// <param name="capacity">What the jobs share; absent: nothing is counted.</param>
    public JobQueue(JobsOptions options, TimeProvider time, JobCapacity? capacity = null)
    {
        _time = time;
        Waiting = new WaitingJobs(capacity ?? JobCapacity.Unlimited);
        _database = new JobDatabase(options.DatabasePath, time);
        foreach (JobEntry entry in _database.Unfinished())
        {
            // Nothing runs any more: what was told to stop has.
            Job job = entry.Job.State == JobState.Queued ? entry.Job : Update(entry.Job.Name, j => Move(j, JobStates.AfterStop(j.State))).Job;
            if (job.State == JobState.Queued)
                Waiting.Add(job);
        }
    }

    internal WaitingJobs Waiting { get; }

    /// <summary>The job of a request id: a new one, or the one that this id made before.</summary>
    /// <param name="kind">Kind of work; an executor of this kind must be registered.</param>
    /// <param name="requestId">The caller's id; empty means "always a new job".</param>
    /// <param name="spec">What to do.</param>
    /// <param name="terms">For whom, how urgent, what it needs; of the first call with this id.</param>
    /// <exception cref="DroverException">AlreadyExists when the id was used with another spec.</exception>
    public JobEntry Create(string kind, string requestId, IMessage spec, JobTerms? terms = null)
    {
        string id = requestId.Length > 0 ? requestId : Guid.NewGuid().ToString();
        (JobEntry entry, bool isNew) = _database.Create(kind, id, spec.ToByteArray(), terms ?? JobTerms.None);
        if (isNew)
            Waiting.Add(entry.Job);
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
            JobState next = job.State is JobState.Queued or JobState.Paused ? JobState.Cancelled : JobState.Cancelling;
            return JobStates.MayFollow(job.State, next) ? Move(job, next) : null;
        });
        Stop(name);
        return entry;
    }

    /// <summary>
    /// Asks a job to break off where it can go on later, and to wait for <see cref="Resume"/>. A job that is finished, or on its way to a
    /// stop, stays as it is.
    /// </summary>
    public JobEntry Pause(string name, string kind)
    {
        Get(name, kind);
        JobEntry entry = Update(name, job =>
        {
            JobState next = job.State == JobState.Queued ? JobState.Paused : JobState.Pausing;
            return JobStates.MayFollow(job.State, next) ? Move(job, next) : null;
        });
        if (entry.Job.State is JobState.Pausing or JobState.Paused)
            Stop(name);
        return entry;
    }

    /// <summary>Puts a paused job back into the queue. A job that is not paused stays as it is.</summary>
    /// <exception cref="DroverException">FailedPrecondition while the job is still coming to its stop.</exception>
    public JobEntry Resume(string name, string kind)
    {
        Get(name, kind);
        JobEntry entry = Update(name, job => job.State switch
        {
            JobState.Paused => Move(job, JobState.Queued),
            JobState.Pausing => throw new DroverException(FailureCode.FailedPrecondition, "JOB_IS_PAUSING", $"'{name}' is still coming to its stop; resume it when it is paused."),
            _ => null,
        });
        if (entry.Job.State == JobState.Queued)
            Waiting.Add(entry.Job);
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

    private void Stop(string name)
    {
        Waiting.Remove(name);
        if (_running.TryGetValue(name, out CancellationTokenSource? source))
            source.Cancel();
    }

    private Timestamp Now() => Timestamp.FromDateTimeOffset(_time.GetUtcNow());

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
