using Drover.Errors;
using Drover.Trainer.Contract;

namespace Drover.Trainer.Tests;

public sealed class WorkerOutcomeTests : IDisposable
{
    private const string Notice = """
        [1,0]<stdout>:step 3
        --------------------------------------------------------------------------
        Primary job  terminated normally, but 1 process returned
        a non-zero exit code. Per user-direction, the job has been aborted.
        --------------------------------------------------------------------------
        --------------------------------------------------------------------------
        mpirun noticed that process rank 1 with PID 0 on node vm-7 exited on signal 9 (Killed).
        --------------------------------------------------------------------------
        """;

    private static readonly WorkerFailure Lost = new(0, (int)FailureCode.Unavailable, "RANK_LOST", "Rank 1 (vm-7, process 41) is gone.");
    private readonly string _log = Path.GetTempFileName();

    public void Dispose() => File.Delete(_log);

    [Fact]
    public void The_rank_that_mpirun_saw_killed_is_named()
    {
        File.WriteAllText(_log, Notice);
        WorkerOutcome outcome = new(137, [], _log);
        Assert.Equal("rank 1 on vm-7 was killed by signal 9 (out of memory, or by hand)", outcome.Why);
        Assert.True(outcome.MayBeRetried);
    }

    [Fact]
    public void What_the_survivors_saw_comes_after_the_signal()
    {
        File.WriteAllText(_log, Notice);
        WorkerOutcome outcome = new(137, [Lost], _log);
        Assert.Equal("rank 1 on vm-7 was killed by signal 9 (out of memory, or by hand): Rank 1 (vm-7, process 41) is gone", outcome.Why);
        Assert.Equal("RANK_LOST", outcome.ToException().Reason);
    }

    [Fact]
    public void A_failure_of_a_rank_explains_those_of_the_others_and_the_signal()
    {
        File.WriteAllText(_log, Notice);
        WorkerOutcome outcome = new(137, [Lost, new(1, (int)FailureCode.ResourceExhausted, "OUT_OF_MEMORY", "Rank 1 ran out of memory.")], _log);
        Assert.Equal("OUT_OF_MEMORY", outcome.ToException().Reason);
        Assert.Equal("Rank 1 ran out of memory", outcome.Why);
    }

    [Fact]
    public void What_a_rank_prints_is_not_taken_for_mpiruns_word()
    {
        File.WriteAllText(_log, "[1,2]<stdout>:mpirun noticed that process rank 1 with PID 0 on node vm-7 exited on signal 9 (Killed).\n");
        Assert.Equal("the ranks ended with exit code 1", new WorkerOutcome(1, [], _log).Why);
    }
}
