using Drover.Protocol.Common.V1;
using Microsoft.Extensions.Logging;

namespace Drover.Jobs;

/// <summary>What a running job may tell of itself. Every call is durable before it returns.</summary>
public sealed partial class JobContext
{
    private static readonly TimeSpan ProgressInterval = TimeSpan.FromMilliseconds(200);
    private readonly JobQueue _queue;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private long _lastProgress;
    private string _lastStage = "";

    internal JobContext(JobQueue queue, Job job, TimeProvider time, ILogger logger)
    {
        _queue = queue;
        _time = time;
        _logger = logger;
        Name = job.Name;
        Attempt = job.Attempt;
        RequestId = job.RequestId;
    }

    /// <summary>"jobs/...".</summary>
    public string Name { get; }

    /// <summary>Which start of the work this is, from 1.</summary>
    public int Attempt { get; }

    /// <summary>The request id that made the job.</summary>
    public string RequestId { get; }

    /// <summary>Tells how far the work is. Calls within 200 ms are merged, but for a new stage and for the end.</summary>
    public void Report(string stage, long done, long total, string unit) =>
        Report(new Progress { Stage = stage, Done = done, Total = total, Unit = unit });

    /// <summary>The same, with all that a progress may say.</summary>
    public void Report(Progress progress)
    {
        bool due = progress.Stage != _lastStage || progress.Done >= progress.Total || _lastProgress == 0 || _time.GetElapsedTime(_lastProgress) >= ProgressInterval;
        if (!due)
            return;
        _lastProgress = _time.GetTimestamp();
        _lastStage = progress.Stage;
        Emit(new JobEvent { Progress = progress });
    }

    /// <summary>A line for people: an event of the job, and a line of the service's log.</summary>
    public void Log(LogLine.Types.Severity severity, string message)
    {
        LogLevel level = LevelOf(severity);
        LogSaid(level, Name, message);
        Emit(new JobEvent { Log = new LogLine { Severity = severity, Message = message } });
    }

    /// <summary>Appends an event; its revision and time are set here. States are moved by the runner only.</summary>
    public void Emit(JobEvent update)
    {
        if (update.EventCase is JobEvent.EventOneofCase.None or JobEvent.EventOneofCase.StateChanged)
            throw new ArgumentException("An executor emits progress, metrics, logs and checkpoints; the runner moves states.", nameof(update));
        _queue.Update(Name, job =>
        {
            if (update.Progress is not null)
                job.Progress = update.Progress.Clone();
            return update;
        });
    }

    private static LogLevel LevelOf(LogLine.Types.Severity severity) => severity switch
    {
        LogLine.Types.Severity.Error => LogLevel.Error,
        LogLine.Types.Severity.Warning => LogLevel.Warning,
        _ => LogLevel.Information,
    };

    [LoggerMessage(EventId = 4, Message = "{Job}: {Text}")]
    private partial void LogSaid(LogLevel level, string job, string text);
}
