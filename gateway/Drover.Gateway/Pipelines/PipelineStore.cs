using System.Collections.Concurrent;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Gateway.V1;
using Google.Protobuf;
using Microsoft.Data.Sqlite;

namespace Drover.Gateway.Pipelines;

/// <summary>
/// The steps of pipelines and the one row of events that a pipeline and its steps make together, in SQLite. An event is
/// known by (pipeline, step, its revision in the step's job): storing it again changes nothing, so a watch that is begun
/// again after a crash can neither repeat an event nor skip one. Pipeline revisions are given in order of storing.
/// </summary>
internal sealed class PipelineStore : IDisposable
{
    private const string Schema = """
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = NORMAL;
        CREATE TABLE IF NOT EXISTS events (
            pipeline TEXT NOT NULL,
            revision INTEGER NOT NULL,
            step TEXT NOT NULL,
            step_revision INTEGER NOT NULL,
            event BLOB NOT NULL,
            PRIMARY KEY (pipeline, revision),
            UNIQUE (pipeline, step, step_revision)) WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS steps (
            pipeline TEXT NOT NULL,
            step TEXT NOT NULL,
            status BLOB NOT NULL,
            PRIMARY KEY (pipeline, step)) WITHOUT ROWID;
        """;

    private readonly SqliteConnection _connection;
    private readonly Lock _gate = new();
    private readonly ConcurrentDictionary<string, TaskCompletionSource> _changes = new(StringComparer.Ordinal);

    /// <summary>Opens or makes the database.</summary>
    public PipelineStore(string path)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        _connection = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = path, Pooling = false }.ToString());
        _connection.Open();
        using SqliteCommand command = Command(Schema);
        command.ExecuteNonQuery();
    }

    /// <summary>Stores an event of a step ("" for the pipeline's own) unless it is stored already.</summary>
    public void Append(string pipeline, string step, JobEvent update)
    {
        lock (_gate)
        {
            using SqliteCommand insert = Command(
                """
                INSERT OR IGNORE INTO events (pipeline, revision, step, step_revision, event)
                VALUES ($pipeline, (SELECT COALESCE(MAX(revision), 0) + 1 FROM events WHERE pipeline = $pipeline), $step, $step_revision, $event)
                """,
                ("$pipeline", pipeline),
                ("$step", step),
                ("$step_revision", update.Revision),
                ("$event", update.ToByteArray()));
            insert.ExecuteNonQuery();
        }

        Signal(pipeline);
    }

    /// <summary>The revision, within its job, of the newest stored event of a step ("" for the pipeline's own); 0 when there is none.</summary>
    public long LastStepRevision(string pipeline, string step)
    {
        lock (_gate)
        {
            using SqliteCommand command = Command("SELECT COALESCE(MAX(step_revision), 0) FROM events WHERE pipeline = $pipeline AND step = $step", ("$pipeline", pipeline), ("$step", step));
            return (long)command.ExecuteScalar()!;
        }
    }

    /// <summary>The newest revision of a pipeline; 0 when there is none.</summary>
    public long LastRevision(string pipeline)
    {
        lock (_gate)
        {
            using SqliteCommand command = Command("SELECT COALESCE(MAX(revision), 0) FROM events WHERE pipeline = $pipeline", ("$pipeline", pipeline));
            return (long)command.ExecuteScalar()!;
        }
    }

    /// <summary>Events after a revision, at most <paramref name="limit"/>.</summary>
    public IReadOnlyList<PipelineEvent> Events(string pipeline, long after, int limit)
    {
        lock (_gate)
        {
            var events = new List<PipelineEvent>();
            using SqliteCommand command = Command("SELECT revision, step, event FROM events WHERE pipeline = $pipeline AND revision > $after ORDER BY revision LIMIT $limit", ("$pipeline", pipeline), ("$after", after), ("$limit", limit));
            using SqliteDataReader reader = command.ExecuteReader();
            while (reader.Read())
                events.Add(new PipelineEvent { Revision = reader.GetInt64(0), Step = reader.GetString(1), Event = JobEvent.Parser.ParseFrom((byte[])reader[2]) });
            return events;
        }
    }

    /// <summary>Completes when an event is stored after this call.</summary>
    public Task NextChange(string pipeline) =>
        _changes.GetOrAdd(pipeline, _ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    /// <summary>Stores how a step stands.</summary>
    public void SaveStep(string pipeline, StepStatus status)
    {
        lock (_gate)
        {
            using SqliteCommand command = Command("INSERT OR REPLACE INTO steps (pipeline, step, status) VALUES ($pipeline, $step, $status)", ("$pipeline", pipeline), ("$step", status.Name), ("$status", status.ToByteArray()));
            command.ExecuteNonQuery();
        }
    }

    /// <summary>How a step stands, or null when it was not begun.</summary>
    public StepStatus? FindStep(string pipeline, string step)
    {
        lock (_gate)
        {
            using SqliteCommand command = Command("SELECT status FROM steps WHERE pipeline = $pipeline AND step = $step", ("$pipeline", pipeline), ("$step", step));
            return command.ExecuteScalar() is byte[] status ? StepStatus.Parser.ParseFrom(status) : null;
        }
    }

    /// <summary>All steps that were begun, of all pipelines.</summary>
    public IReadOnlyList<(string Pipeline, StepStatus Status)> Steps()
    {
        lock (_gate)
        {
            var steps = new List<(string, StepStatus)>();
            using SqliteCommand command = Command("SELECT pipeline, status FROM steps");
            using SqliteDataReader reader = command.ExecuteReader();
            while (reader.Read())
                steps.Add((reader.GetString(0), StepStatus.Parser.ParseFrom((byte[])reader[1])));
            return steps;
        }
    }

    /// <inheritdoc />
    public void Dispose() => _connection.Dispose();

    private void Signal(string pipeline)
    {
        if (_changes.TryRemove(pipeline, out TaskCompletionSource? change))
            change.TrySetResult();
    }

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
}
