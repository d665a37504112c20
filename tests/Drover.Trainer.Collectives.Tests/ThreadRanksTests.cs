using System.Runtime.InteropServices;
using Drover.Errors;

namespace Drover.Trainer.Collectives.Tests;

public sealed class ThreadRanksTests
{
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
    public void A_sum_is_not_done_before_it_is_waited_for()
    {
        ThreadRanks.Run(2, collectives =>
        {
            float[] values = [1];
            var pin = GCHandle.Alloc(values, GCHandleType.Pinned);
            ICollectiveHandle handle = collectives.StartAllReduceSum(pin.AddrOfPinnedObject(), 1);
            // A message to the other keeps it from waiting, and so from doing the sum, too early.
            Exchange(collectives);
            Assert.Equal(1, values[0]);
            Exchange(collectives);
            handle.Wait();
            Assert.Equal(2, values[0]);
            pin.Free();
        });
    }

    [Fact]
    public void Operations_that_do_not_match_name_both_ranks_the_axis_and_the_operations()
    {
        DroverException failure = Assert.Throws<DroverException>(() => ThreadRanks.Run(4, world =>
        {
            using ICollectives data = world.Split("data", world.Rank % 2);
            data.Barrier();
            float[] values = new float[world.Rank == 3 ? 5 : 4];
            data.AllReduceSum(values);
            world.Barrier();
        }));
        Assert.Equal("COLLECTIVE_MISMATCH", failure.Reason);
        Assert.Contains("operation no. 2 of axis 'data'", failure.Message, StringComparison.Ordinal);
        Assert.Contains("all-reduce of 4 values", failure.Message, StringComparison.Ordinal);
        Assert.Contains("all-reduce of 5 values", failure.Message, StringComparison.Ordinal);
        Assert.Matches("^Ranks (1 and 3|3 and 1) do not match", failure.Message);
    }

    [Fact]
    public void Parts_of_an_all_to_all_that_do_not_match_name_both_ranks()
    {
        DroverException failure = Assert.Throws<DroverException>(() => ThreadRanks.Run(2, world =>
            world.AllToAll(0, 0, [0, 0], world.Rank == 0 ? [0, 8] : [0, 0])));
        Assert.Equal("COLLECTIVE_MISMATCH", failure.Reason);
        Assert.StartsWith("Ranks 1 and 0 do not match", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_time_out_names_the_missing_ranks_the_axis_and_the_operation()
    {
        using var never = new ManualResetEventSlim();
        DroverException failure = Assert.Throws<DroverException>(() => ThreadRanks.Run(
            3,
            world =>
            {
                ICollectives data = world.Split("data", 0);
                try
                {
                    if (world.Rank == 2)
                        never.Wait(TestContext.Current.CancellationToken);
                    data.Barrier();
                }
                finally
                {
                    never.Set();
                }
            },
            TimeSpan.FromMilliseconds(200)));
        Assert.Equal("RANK_LOST", failure.Reason);
        Assert.Matches("^Rank [01] waits in barrier 'data' no. 1: rank 2 did not start it within 0.2 s.( Meanwhile: Rank [01] waits in barrier 'data' no. 1.)?$", failure.Message);
    }

    [Fact]
    public void A_rank_that_ends_too_early_is_named_at_once()
    {
        DroverException failure = Assert.Throws<DroverException>(() => ThreadRanks.Run(2, world =>
        {
            if (world.Rank == 1)
                Receive(world, from: 0);
        }));
        Assert.Equal("Rank 1 waits in receive 'world' from rank 0 with tag 7 for the send: rank 0 ended without starting it.", failure.Message);
    }

    private static unsafe void Receive(ICollectives world, int from)
    {
        int value;
        world.Receive((nint)(&value), sizeof(int), from, tag: 7);
    }

    private static unsafe void Exchange(ICollectives world)
    {
        int mine = world.Rank;
        int other;
        ICollectiveHandle sent = world.StartSend((nint)(&mine), sizeof(int), 1 - world.Rank, 0);
        world.Receive((nint)(&other), sizeof(int), 1 - world.Rank, 0);
        sent.Wait();
    }
}
