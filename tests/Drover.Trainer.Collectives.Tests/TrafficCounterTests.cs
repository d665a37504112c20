namespace Drover.Trainer.Collectives.Tests;

public sealed class TrafficCounterTests
{
    private const int Count = 600;
    private const long Bytes = Count * sizeof(float);

    [Fact]
    public void Each_operation_is_counted_by_its_axis_with_the_bytes_of_a_ring()
    {
        ThreadRanks.Run(6, world =>
        {
            using ICollectives data = world.Split("data", world.Rank % 2);
            using ICollectives pipe = world.Split("pipe", world.Rank / 2);
            world.Traffic.Reset();
            Move(data, pipe);
            long n = 3;
            TrafficEntry[] expected =
            [
                new("data", "all-gather", 1, n * Bytes, (n - 1) * Bytes),
                new("data", "all-reduce", 2, 2 * Bytes, 2 * 2 * (n - 1) * Bytes / n),
                new("data", "all-to-all", 1, 8 + 16 + 24, 8 + 16 + 24 - (8 * (data.Rank + 1))),
                new("data", "barrier", 1, 0, 0),
                new("data", "reduce-scatter", 1, n * Bytes, (n - 1) * Bytes),
                new("pipe", "receive", 1, Bytes, Bytes),
                new("pipe", "send", 1, Bytes, Bytes),
                new("world", "all-reduce-max-fp64", 1, 8, 2 * 5 * 8 / 6),
                new("world", "broadcast", 1, Bytes, Bytes),
            ];
            world.Max(1);
            float[] values = new float[Count];
            Broadcast(world, values);
            Assert.Equal(expected, world.Traffic.Snapshot());
            data.Traffic.Reset();
            Assert.Empty(world.Traffic.Snapshot());
        });
    }

    [Fact]
    public void The_time_that_a_rank_stands_waiting_is_counted_by_axis() =>
        ThreadRanks.Run(2, world =>
        {
            using ICollectives data = world.Split("data", 0);
            world.Traffic.Reset();
            data.Barrier();
            Assert.True(world.Traffic.WaitedFor("data") > TimeSpan.Zero);
            Assert.Equal(TimeSpan.Zero, world.Traffic.WaitedFor("pipe"));
            world.Traffic.Reset();
            Assert.Equal(TimeSpan.Zero, world.Traffic.WaitedFor("data"));
        });

    [Fact]
    public void One_rank_puts_nothing_on_the_wire()
    {
        using var one = new SingleRank();
        using ICollectives data = one.Split("data", 0);
        data.AllReduceSum(new float[Count]);
        Assert.Contains(new TrafficEntry("data", "all-reduce", 1, Bytes, 0), one.Traffic.Snapshot());
    }

    private static unsafe void Move(ICollectives data, ICollectives pipe)
    {
        float[] values = new float[Count * data.WorldSize];
        float[] others = new float[Count * data.WorldSize];
        fixed (float* source = values, destination = others)
        {
            data.AllReduceSum(values.AsSpan(0, Count));
            data.AllReduceSum(values.AsSpan(0, Count));
            data.ReduceScatterSum((nint)source, (nint)destination, Count);
            data.AllGather((nint)source, (nint)destination, Bytes);
            long part = 8 * (data.Rank + 1);
            data.AllToAll((nint)source, (nint)destination, [8, 16, 24], [part, part, part]);
            data.Barrier();
            ICollectiveHandle sent = pipe.StartSend((nint)source, Bytes, 1 - pipe.Rank, 0);
            pipe.Receive((nint)destination, Bytes, 1 - pipe.Rank, 0);
            sent.Wait();
        }
    }

    private static unsafe void Broadcast(ICollectives world, float[] values)
    {
        fixed (float* data = values)
            world.Broadcast((nint)data, Bytes, 0);
    }
}
