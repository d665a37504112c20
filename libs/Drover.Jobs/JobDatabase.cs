using Drover.Errors;
using Drover.Protocol;
using Drover.Protocol.Common.V1;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Microsoft.Data.Sqlite;

namespace Drover.Jobs;

/// <summary>
/// Jobs and their events in SQLite. Every change of a job and the event that tells of it are one transaction, so a watcher
/// never sees a revision whose job is not there and a crash never loses one without the other.
/// </summary>
internal sealed class JobDatabase : IDisposable
{
    private const string Schema = """
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = NORMAL;
        CREATE TABLE IF NOT EXISTS jobs (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            name TEXT NOT NULL UNIQUE,
            kind TEXT NOT NULL,
            request_id TEXT NOT NULL UNIQUE,
            state INTEGER NOT NULL,
            job BLOB NOT NULL,
            spec BLOB NOT NULL,
            result BLOB);
        CREATE TABLE IF NOT EXISTS events (
            job INTEGER NOT NULL REFERENCES jobs(id),
            revision INTEGER NOT NULL,
            event BLOB NOT NULL,
            PRIMARY KEY (job, revision)) WITHOUT ROWID;
        """;

    private readonly FileStream _alone;
    private readonly SqliteConnection _connection;
    private readonly Lock _gate = new();
    private readonly TimeProvider _time;

    public JobDatabase(string path, TimeProvider time)
    {
        _time = time;
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        _alone = StandAlone(path);
        // Not pooled: a pooled connection outlives its owner and holds the file.
        _connection = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = path, Pooling = false }.ToString());
        _connection.Open();
        using SqliteCommand command = Command(Schema);
        command.ExecuteNonQuery();
    }

    /// <summary>The job of this request id, made when it is not there.</summary>
    /// <returns>The entry, and whether it is new.</returns>
    public (JobEntry Entry, bool IsNew) Create(string kind, string requestId, byte[] spec, JobTerms terms)
    {
        lock (_gate)
        {
            if (Query("WHERE request_id = $p", requestId).SingleOrDefault() is { } known)
            {
                if (known.Job.Kind != kind || !known.SpecBytes.AsSpan().SequenceEqual(spec))
                    throw new DroverException(FailureCode.AlreadyExists, "REQUEST_ID_TAKEN", $"request_id '{requestId}' was used for '{known.Job.Name}' with another spec. Use a new request id.");
                return (known, false);
            }

            var job = new Job
            {
                Name = $"jobs/{kind}-{Convert.ToHexStringLower(Guid.NewGuid().ToByteArray())[..12]}",
                Kind = kind,
                RequestId = requestId,
                State = JobState.Queued,
                CreateTime = Now(),
                Progress = new Progress(),
                Revision = 1,
                Owner = terms.Owner,
                Priority = terms.Priority,
                Cores = terms.Cores,
                MemoryBytes = terms.MemoryBytes,
                TraceParent = JobTracing.Current,
            };
            using SqliteTransaction transaction = _connection.BeginTransaction();
            using (SqliteCommand insert = Command("INSERT INTO jobs (name, kind, request_id, state, job, spec) VALUES ($name, $kind, $request, $state, $job, $spec)", ("$name", job.Name), ("$kind", kind), ("$request", requestId), ("$state", (int)job.State), ("$job", job.ToByteArray()), ("$spec", spec)))
                insert.ExecuteNonQuery();
            InsertEvent(job, new JobEvent { StateChanged = job.State });
            transaction.Commit();
            return (new JobEntry(job, spec, null), true);
        }
    }

    /// <summary>Changes a job and appends an event in one transaction.</summary>
    /// <param name="name">The job.</param>
    /// <param name="change">Changes the job; answers the event, or null to change nothing.</param>
    /// <param name="result">A result to store with it, or null.</param>
    public JobEntry Update(string name, Func<Job, JobEvent?> change, byte[]? result = null)
    {
        lock (_gate)
        {
            JobEntry entry = Find(name) ?? throw NotFound(name);
            Job job = entry.Job;
            if (change(job) is not { } update)
                return entry;
            job.Revision++;
            using SqliteTransaction transaction = _connection.BeginTransaction();
            using (SqliteCommand store = Command("UPDATE jobs SET state = $state, job = $job, result = COALESCE($result, result) WHERE name = $name", ("$state", (int)job.State), ("$job", job.ToByteArray()), ("$result", (object?)result ?? DBNull.Value), ("$name", name)))
                store.ExecuteNonQuery();
            InsertEvent(job, update);
            transaction.Commit();
            return entry with { ResultBytes = result ?? entry.ResultBytes };
        }
    }

    public JobEntry? Find(string name)
    {
        lock (_gate)
            return Query("WHERE name = $p", name).SingleOrDefault();
    }

    /// <summary>Jobs that are not finished, oldest first.</summary>
    public IReadOnlyList<JobEntry> Unfinished()
    {
        lock (_gate)
            return Query($"WHERE state IN ({(int)JobState.Queued}, {(int)JobState.Running}, {(int)JobState.Cancelling}, {(int)JobState.Pausing}) AND $p = '' ORDER BY id", "");
    }

    public JobPage List(string kind, int pageSize, string pageToken, IEnumerable<JobState> states)
    {
        if (pageSize < 0)
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_PAGE_SIZE", $"page_size is {pageSize}; give 0 for 50, or up to 1000.");
        long before = long.MaxValue;
        if (pageToken.Length > 0 && !long.TryParse(pageToken, out before))
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_PAGE_TOKEN", $"page_token '{pageToken}' is not one that a list call gave.");
        int size = pageSize == 0 ? 50 : Math.Min(pageSize, 1000);
        // ",3,4,": looked for as ",3,".
        string wanted = string.Concat(states.Select(state => $"{(int)state},"));
        lock (_gate)
        {
            var jobs = new List<JobEntry>();
            long last = 0;
            using SqliteCommand command = Command("SELECT job, spec, result, id FROM jobs WHERE id < $before AND ($kind = '' OR kind = $kind) AND ($states = ',' OR instr($states, ',' || state || ',') > 0) ORDER BY id DESC LIMIT $n", ("$before", before), ("$states", "," + wanted), ("$kind", kind), ("$n", size + 1));
            using SqliteDataReader reader = command.ExecuteReader();
            while (reader.Read())
            {
                if (jobs.Count == size)
                    return new JobPage(jobs, last.ToString(System.Globalization.CultureInfo.InvariantCulture));
                jobs.Add(Read(reader));
                last = reader.GetInt64(3);
            }

            return new JobPage(jobs, "");
        }
    }

    /// <summary>Events after a revision, at most <paramref name="limit"/>.</summary>
    public IReadOnlyList<JobEvent> Events(string name, long after, int limit)
    {
        lock (_gate)
        {
            var events = new List<JobEvent>();
            using SqliteCommand command = Command("SELECT event FROM events WHERE job = (SELECT id FROM jobs WHERE name = $name) AND revision > $after ORDER BY revision LIMIT $n", ("$name", name), ("$after", after), ("$n", limit));
            using SqliteDataReader reader = command.ExecuteReader();
            while (reader.Read())
                events.Add(JobEvent.Parser.ParseFrom((byte[])reader[0]));
            return events;
        }
    }

    public void Dispose()
    {
        _connection.Dispose();
        _alone.Dispose();
    }

    internal static DroverException NotFound(string name) =>
        new(FailureCode.NotFound, "JOB_NOT_FOUND", $"There is no job '{name}'.");

    // Two processes on one database would both do every job. The system takes the lock back from one that dies.
    private static FileStream StandAlone(string path)
    {
        try
        {
            return new FileStream(path + ".lock", FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException e)
        {
            throw new DroverException(FailureCode.FailedPrecondition, "DATABASE_IN_USE", $"Another process has the jobs of '{path}'. Stop it, or give this one a data folder of its own (Drover:DataFolder): services of the same kind may run side by side, each with its own.", e);
        }
    }

    private void InsertEvent(Job job, JobEvent update)
    {
        update.Revision = job.Revision;
        update.Time = Now();
        using SqliteCommand insert = Command("INSERT INTO events (job, revision, event) VALUES ((SELECT id FROM jobs WHERE name = $name), $revision, $event)", ("$name", job.Name), ("$revision", job.Revision), ("$event", update.ToByteArray()));
        insert.ExecuteNonQuery();
    }

    private List<JobEntry> Query(string where, string parameter)
    {
        var entries = new List<JobEntry>();
        using SqliteCommand command = Command($"SELECT job, spec, result FROM jobs {where}", ("$p", parameter));
        using SqliteDataReader reader = command.ExecuteReader();
        while (reader.Read())
            entries.Add(Read(reader));
        return entries;
    }

    private static JobEntry Read(SqliteDataReader reader) =>
        new(Job.Parser.ParseFrom((byte[])reader[0]), (byte[])reader[1], reader.IsDBNull(2) ? null : (byte[])reader[2]);

    // The texts are constants of this file; values always travel as parameters.
#pragma warning disable CA2100
    private SqliteCommand Command(string text, params ReadOnlySpan<(string Name, object Value)> parameters)
    {
        SqliteCommand command = _connection.CreateCommand();
        command.CommandText = text;
        foreach ((string name, object value) in parameters)
            command.Parameters.AddWithValue(name, value);
        return command;
    }
#pragma warning restore CA2100

    private Timestamp Now() => Timestamp.FromDateTimeOffset(_time.GetUtcNow());
}
