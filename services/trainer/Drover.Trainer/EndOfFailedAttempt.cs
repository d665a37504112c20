namespace Drover.Trainer;

/// <summary>
/// When ranks that should have ended are not waited for any more. A rank that fails writes its failure and ends, and mpirun then ends the
/// others: those of a machine that is cut off it waits for without an end. They end by themselves, as they miss the first rank.
/// </summary>
/// <param name="attemptFolder">Where failures are written.</param>
/// <param name="time">The clock.</param>
internal sealed class EndOfFailedAttempt(string attemptFolder, TimeProvider time)
{
    /// <summary>Failures of ranks, in an attempt's folder.</summary>
    public const string FailureFiles = "failure-*.json";

    // Long enough to end ranks of a busy machine and to hear from all of them why; with the silence after which a rank counts as lost, 9 s.
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(250);
    private long _lookedAt = time.GetTimestamp();
    private long? _failedAt;

    /// <summary>Whether a rank failed some time ago. Cheap enough to be asked again and again.</summary>
    public bool IsOverdue()
    {
        if (_failedAt is { } failedAt)
            return time.GetElapsedTime(failedAt) > Grace;
        if (time.GetElapsedTime(_lookedAt) < Interval)
            return false;
        _lookedAt = time.GetTimestamp();
        if (Directory.EnumerateFiles(attemptFolder, FailureFiles).Any())
            _failedAt = _lookedAt;
        return false;
    }
}
