namespace Drover.Trainer.Collectives.Tests;

public sealed class StuckRanksTests
{
    private static readonly int[] All = [0, 1, 2, 3];

    [Fact]
    public void A_rank_that_has_not_started_an_operation_of_all_is_named_with_those_that_wait()
    {
        RankBeat[] ranks = [Waits(0, "all-reduce 'data' no. 417", 417, All), Waits(1, "all-reduce 'data' no. 417", 417, All), Computes(2, 416), Waits(3, "all-reduce 'data' no. 417", 417, All)];
        Assert.Equal(
            "Rank 2 (vm, process 12) has not started all-reduce 'data' no. 417: it was computing after all-reduce 'data' no. 416. Ranks 0, 1, 3 waited 600 s in all-reduce 'data' no. 417.",
            StuckRanks.Explain(ranks, ranks[0]));
    }

    [Fact]
    public void A_rank_at_the_other_end_of_a_receive_is_named()
    {
        RankBeat[] ranks = [Waits(0, "receive 'pipe' from rank 1 with tag 0", -1, [1]), Computes(1, 3)];
        Assert.StartsWith("Rank 1 (vm, process 11) is at the other end of receive 'pipe' from rank 1 with tag 0", StuckRanks.Explain(ranks, ranks[0]), StringComparison.Ordinal);
    }

    [Fact]
    public void The_rank_behind_ranks_that_wait_themselves_is_named()
    {
        RankBeat[] ranks = [Waits(0, "all-reduce 'data' no. 9", 9, [0, 1]), Waits(1, "receive 'pipe' from rank 2 with tag 0", -1, [2]), Waits(2, "receive 'pipe' from rank 3 with tag 0", -1, [3]), Computes(3, 8)];
        Assert.StartsWith("Rank 3 (vm, process 13) is at the other end", StuckRanks.Explain(ranks, ranks[0]), StringComparison.Ordinal);
    }

    [Fact]
    public void Ranks_that_wait_for_each_other_are_all_named()
    {
        RankBeat[] ranks = [Waits(0, "receive 'pipe' from rank 1 with tag 0", -1, [1]), Waits(1, "receive 'pipe' from rank 2 with tag 0", -1, [2]), Waits(2, "receive 'pipe' from rank 1 with tag 5", -1, [1])];
        Assert.Equal(
            "Ranks wait for each other: Rank 1 (vm, process 11) in receive 'pipe' from rank 2 with tag 0; Rank 2 (vm, process 12) in receive 'pipe' from rank 1 with tag 5.",
            StuckRanks.Explain(ranks, ranks[0]));
    }

    [Fact]
    public void An_operation_that_all_have_started_and_nobody_ends_names_those_that_wait()
    {
        RankBeat[] ranks = [Waits(0, "barrier 'world' no. 2", 2, [0, 1]), Computes(1, 2)];
        Assert.StartsWith("Rank 0 waited 600 s in barrier 'world' no. 2, which every rank has started.", StuckRanks.Explain(ranks, ranks[0]), StringComparison.Ordinal);
    }

    private static RankBeat Waits(int rank, string what, long number, int[] others) => new(rank, "vm", 10 + rank)
    {
        Last = what,
        Wait = new RankWait("world/data", number, others, 600),
        Started = new Dictionary<string, long> { ["world/data"] = Math.Max(number, 8) },
    };

    private static RankBeat Computes(int rank, long started) => new(rank, "vm", 10 + rank)
    {
        Last = $"all-reduce 'data' no. {started}",
        Started = new Dictionary<string, long> { ["world/data"] = started },
    };
}
