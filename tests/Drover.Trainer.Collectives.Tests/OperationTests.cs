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
        (int exitCode, string output) = await Mpirun.RunAsync(ranks, name);
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

    [Fact]
    public void A_rank_that_fails_lets_the_others_go_and_its_failure_is_told()
    {
        InvalidOperationException failure = Assert.Throws<InvalidOperationException>(() => ThreadRanks.Run(3, collectives =>
        {
            if (collectives.Rank == 1)
                throw new InvalidOperationException("rank 1 is broken");
            collectives.Barrier();
        }));
        Assert.Equal("rank 1 is broken", failure.Message);
    }

    [Fact]
    public void A_sum_on_threads_is_not_done_before_it_is_waited_for()
    {
        ThreadRanks.Run(2, collectives =>
        {
            float[] values = [1];
            var pin = System.Runtime.InteropServices.GCHandle.Alloc(values, System.Runtime.InteropServices.GCHandleType.Pinned);
            ICollectiveHandle handle = collectives.StartAllReduceSum(pin.AddrOfPinnedObject(), 1);
            Assert.Equal(1, values[0]);
            handle.Wait();
            Assert.Equal(2, values[0]);
            pin.Free();
        });
    }
}
