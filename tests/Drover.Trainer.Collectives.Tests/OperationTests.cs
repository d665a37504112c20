using Drover.Trainer.Collectives.RankProgram;

namespace Drover.Trainer.Collectives.Tests;

public sealed class OperationTests
{
    public static IEnumerable<TheoryDataRow<string, int>> OperationsAndRanks(params int[] ranks) =>
        from name in CollectiveChecks.Names from n in ranks select new TheoryDataRow<string, int>(name, n);

    public static IEnumerable<TheoryDataRow<string, int>> OnThreads() => OperationsAndRanks(1, 2, 3, 5);

    public static IEnumerable<TheoryDataRow<string, int>> OnProcesses() => OperationsAndRanks(2, 3);

    [Theory]
    [MemberData(nameof(OnThreads))]
    public void An_operation_does_what_it_says_on_threads(string name, int ranks)
    {
        var problems = new System.Collections.Concurrent.ConcurrentBag<string>();
        ThreadRanks.Run(ranks, collectives =>
        {
            foreach (string problem in CollectiveChecks.Run(name, collectives))
                problems.Add(problem);
        });
        Assert.Empty(problems);
    }

    [Theory]
    [MemberData(nameof(OnProcesses))]
    public async Task An_operation_does_what_it_says_on_open_mpi(string name, int ranks)
    {
        (int exitCode, string output) = await RankProgramRun.RunAsync(ranks, name);
        Assert.True(exitCode == 0, output);
        Assert.Contains($"{name} holds on {ranks} ranks", output, StringComparison.Ordinal);
    }

    [Fact]
    public void One_rank_needs_no_library()
    {
        using var one = new SingleRank();
        foreach (string name in CollectiveChecks.Names)
            Assert.Empty(CollectiveChecks.Run(name, one));
    }
}
