using Drover.Errors;
using Drover.Trainer.Contract;

namespace Drover.Trainer;

/// <summary>How workers ended.</summary>
/// <param name="ExitCode">Of the worker, or of mpirun.</param>
/// <param name="Failures">What the ranks that could still write told.</param>
/// <param name="LogFile">Output of all ranks.</param>
internal sealed record WorkerOutcome(int ExitCode, IReadOnlyList<WorkerFailure> Failures, string LogFile)
{
    private const int SignalBase = 128;

    // SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGSEGV.
    private static readonly int[] SelfInflicted = [4, 6, 7, 8, 11];

    // What ranks tell that only saw another one go; the worse informed last.
    private static readonly string[] Consequences = ["RANK_LOST", "COLLECTIVE_FAILED"];
    private readonly KilledRank? _killed = KilledRank.Find(LogFile);

    /// <summary>The failure that explains the others: a cause of the user's before a collective that broke because another rank was gone.</summary>
    private WorkerFailure? First => Failures.OrderBy(f => Array.IndexOf(Consequences, f.Reason)).ThenBy(f => IsTransient(f.Code)).ThenBy(f => f.Rank).FirstOrDefault();

    /// <summary>The first failure that is not merely that of a rank which saw another one go.</summary>
    private WorkerFailure? Cause => First is { } failure && !Consequences.Contains(failure.Reason) ? failure : null;

    /// <summary>Whether the same start may end better: a rank was killed or a service did not answer; not what a user has to change.</summary>
    public bool MayBeRetried => First is not { } failure || IsTransient(failure.Code);

    /// <summary>
    /// Whether it looks like a fault of the program or of what it was given, not of its surroundings: an exception that nobody foresaw,
    /// memory that ran out, or a signal that a process brings upon itself. Such a one may still pass, but not twice at the same step.
    /// </summary>
    public bool IsFault => Cause is { } failure
        ? (FailureCode)failure.Code is FailureCode.Unknown or FailureCode.ResourceExhausted
        : SelfInflicted.Contains(_killed?.Signal ?? ExitCode - SignalBase);

    /// <summary>What went wrong without what differs from start to start (processes, machines): the same fault has the same.</summary>
    public string Fault => Cause?.Message ?? $"signal {_killed?.Signal ?? ExitCode - SignalBase} of rank {_killed?.Rank}";

    /// <summary>Why, for the middle of a sentence: without its full stop.</summary>
    public string Why => First is not { } failure
        ? _killed?.Why ?? Ended
        : _killed is not null && Consequences.Contains(failure.Reason) ? $"{_killed.Why}: {failure.Message.TrimEnd('.')}" : failure.Message.TrimEnd('.');

    private string Ended => ExitCode > SignalBase
        ? $"a rank was killed by signal {ExitCode - SignalBase}{(ExitCode - SignalBase == 9 ? " (out of memory, or by hand)" : "")}"
        : $"the ranks ended with exit code {ExitCode}";

    /// <summary>The failure for the caller.</summary>
    public DroverException ToException() => First is { } failure
        ? new DroverException((FailureCode)failure.Code, failure.Reason, $"{char.ToUpperInvariant(Why[0])}{Why[1..]}.")
        : new DroverException(FailureCode.Internal, "WORKER_DIED", $"The worker did not finish: {Why}. Its output is in '{LogFile}'.");

    private static bool IsTransient(int code) =>
        (FailureCode)code is FailureCode.Unavailable or FailureCode.Unknown or FailureCode.ResourceExhausted or FailureCode.Aborted or FailureCode.DeadlineExceeded;
}
