using Drover.Protocol.Common.V1;

namespace Drover.Jobs;

/// <summary>The state table of jobs: which state may follow which.</summary>
public static class JobStates
{
    private static readonly HashSet<(JobState From, JobState To)> Transitions =
    [
        (JobState.Queued, JobState.Running),
        (JobState.Queued, JobState.Cancelled),
        (JobState.Running, JobState.Succeeded),
        (JobState.Running, JobState.Failed),
        (JobState.Running, JobState.Cancelling),
        // The service stopped or died: the work goes on from what is durable.
        (JobState.Running, JobState.Queued),
        (JobState.Cancelling, JobState.Cancelled),
        (JobState.Cancelling, JobState.Succeeded),
        (JobState.Cancelling, JobState.Failed),
    ];

    /// <summary>Whether <paramref name="to"/> may follow <paramref name="from"/>.</summary>
    public static bool MayFollow(JobState from, JobState to) => Transitions.Contains((from, to));

    /// <summary>Whether nothing follows this state.</summary>
    public static bool IsTerminal(JobState state) => state is JobState.Succeeded or JobState.Failed or JobState.Cancelled;
}
