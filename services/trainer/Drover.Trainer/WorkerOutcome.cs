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

    // What ranks tell that only saw another one go; the worse informed last.
    private static readonly string[] Consequences = ["RANK_LOST", "COLLECTIVE_FAILED"];
    private readonly KilledRank? _killed = KilledRank.Find(LogFile);

    /// <summary>The failure that explains the others: a cause of the user's before a collective that broke because another rank was gone.</summary>
    private WorkerFailure? First => Failures.OrderBy(f => Array.IndexOf(Consequences, f.Reason)).ThenBy(f => IsTransient(f.Code)).ThenBy(f => f.Rank).FirstOrDefault();

    /// <summary>Whether the same start may end better: a rank was killed or a service did not answer; not what a user has to change.</summary>
    public bool MayBeRetried => First is not { } failure || IsTransient(failure.Code);

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
