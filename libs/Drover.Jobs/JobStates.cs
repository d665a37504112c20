using Drover.Protocol.Common.V1;

namespace Drover.Jobs;

/// <summary>The state table of jobs: which state may follow which.</summary>
public static class JobStates
{
    private static readonly HashSet<(JobState From, JobState To)> Transitions =
    [
        (JobState.Queued, JobState.Running),
        (JobState.Queued, JobState.Cancelled),
        (JobState.Queued, JobState.Paused),
        (JobState.Running, JobState.Succeeded),
        (JobState.Running, JobState.Failed),
        (JobState.Running, JobState.Cancelling),
        (JobState.Running, JobState.Pausing),
        // The service stopped or died: the work goes on from what is durable.
        (JobState.Running, JobState.Queued),
        (JobState.Cancelling, JobState.Cancelled),
        (JobState.Cancelling, JobState.Succeeded),
        (JobState.Cancelling, JobState.Failed),
        (JobState.Pausing, JobState.Paused),
        (JobState.Pausing, JobState.Cancelling),
        // It was at its end already.
        (JobState.Pausing, JobState.Succeeded),
        (JobState.Pausing, JobState.Failed),
        (JobState.Paused, JobState.Queued),
        (JobState.Paused, JobState.Cancelled),
    ];

    /// <summary>Whether <paramref name="to"/> may follow <paramref name="from"/>.</summary>
    public static bool MayFollow(JobState from, JobState to) => Transitions.Contains((from, to));

    /// <summary>The state of a job whose work was told to break off, once it has: the service stops, unless somebody asked for it.</summary>
    internal static JobState AfterStop(JobState state) => state switch
    {
        JobState.Cancelling => JobState.Cancelled,
        JobState.Pausing => JobState.Paused,
        _ => JobState.Queued,
    };

    /// <summary>Whether nothing follows this state.</summary>
    public static bool IsTerminal(JobState state) => state is JobState.Succeeded or JobState.Failed or JobState.Cancelled;
}
