namespace Drover.Trainer;

/// <summary>
/// How long a run waits before its ranks start again: not at all after an attempt that saved something, and longer after each one that did not, so
/// that a machine that reboots or a store that is away for a minute does not use up the restarts.
/// </summary>
internal static class RestartPause
{
    private static readonly TimeSpan[] AfterAttemptsInVain = [TimeSpan.Zero, TimeSpan.FromSeconds(5), TimeSpan.FromSeconds(30), TimeSpan.FromMinutes(1)];

    /// <summary>The pause after so many attempts in a row that saved nothing.</summary>
    public static TimeSpan After(int attemptsInVain) => AfterAttemptsInVain[Math.Min(attemptsInVain, AfterAttemptsInVain.Length - 1)];
}
