using System.Collections.Concurrent;
using System.Globalization;
using Drover.Trainer.Collectives.RankProgram;

namespace Drover.Trainer.Collectives.Tests;

public sealed class RandomTests
{
    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 2)]
    [InlineData(3, 3)]
    [InlineData(4, 4)]
    [InlineData(6, 5)]
    public void Random_operations_in_flight_on_random_groups_do_what_they_say_on_threads(int ranks, int seed)
    {
        var problems = new ConcurrentBag<string>();
        ThreadRanks.Run(ranks, world =>
        {
            foreach (string problem in RandomChecks.Run(world, seed))
                problems.Add(problem);
        });
        Assert.Empty(problems);
    }

    [Theory]
    [InlineData(2, 12)]
    [InlineData(3, 13)]
    [InlineData(4, 14)]
    public async Task Random_operations_in_flight_on_random_groups_do_what_they_say_on_open_mpi(int ranks, int seed)
    {
        (int exitCode, string output) = await RankProgramRun.RunAsync(ranks, "random", seed.ToString(CultureInfo.InvariantCulture));
        Assert.True(exitCode == 0, output);
        Assert.Contains($"random holds on {ranks} ranks", output, StringComparison.Ordinal);
    }

    [Fact]
    public void Random_operations_do_what_they_say_on_one_rank()
    {
        using var one = new SingleRank();
        Assert.Empty(RandomChecks.Run(one, 20));
    }
}
