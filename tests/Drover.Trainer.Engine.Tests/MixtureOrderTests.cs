using CsCheck;

namespace Drover.Trainer.Engine.Tests;

/// <summary>Which rows a run reads: mixtures, ranks, and going on after a stop.</summary>
public class MixtureOrderTests
{
    private static readonly Gen<MixturePart[]> Parts = Gen.Select(Gen.Int[1, 200], Gen.Double[0.2, 3]).Select((rows, weight) => new MixturePart(rows, weight)).Array[1, 5];

    [Fact]
    public void Three_epochs_on_any_number_of_ranks_stopped_and_resumed_read_each_row_exactly_once_an_epoch_in_the_same_batches() =>
        Gen.Select(Gen.Int[1, 400].Array[1, 4], Gen.Int[1, 4], Gen.Long, Gen.Int[0, 1000]).Sample((sizes, buckets, seed, stops) =>
        {
            const int GlobalBatch = 12;
            MixturePart[] parts = [.. sizes.Select(s => new MixturePart(s, 1))];
            long rows = sizes.Sum();
            long steps = ((3 * rows) + GlobalBatch - 1) / GlobalBatch;
            List<long>? first = null;
            foreach (int ranks in new[] { 1, 2, 3, 4 })
            {
                var random = new Random(stops + ranks);
                var read = new List<long>();
                for (long done = 0; done < steps;)
                {
                    // A start knows nothing but how many steps are done, and may have another micro-batch than the one before.
                    int micro = new[] { 1, GlobalBatch / ranks }[random.Next(2)];
                    var plan = new StepRows(new MixtureOrder(parts, buckets, seed), GlobalBatch, micro, ranks);
                    long stop = Math.Min(steps, done + 1 + random.Next(20));
                    for (; done < stop; done++)
                        read.AddRange(Batch(plan, done, ranks));
                }

                for (int epoch = 0; epoch < 3; epoch++)
                    Assert.Equal(Enumerable.Range(0, (int)rows).Select(i => (long)i), read.Skip((int)(epoch * rows)).Take((int)rows).Order());
                first ??= read;
                Assert.Equal(first, read);
            }
        }, iter: 40);

    [Fact]
    public void Weights_decide_how_often_rows_are_read_and_none_is_read_again_before_all_were() =>
        Gen.Select(Parts, Gen.Int[1, 5], Gen.Long).Sample((parts, buckets, seed) =>
        {
            var order = new MixtureOrder(parts, buckets, seed);
            int[] counts = new int[parts.Sum(p => p.Rows)];
            for (int epoch = 0; epoch < 4; epoch++)
            {
                for (long i = 0; i < order.RowsPerEpoch; i++)
                    counts[order.RowAt((epoch * order.RowsPerEpoch) + i)]++;
                int first = 0;
                foreach (MixturePart part in parts)
                {
                    int[] own = counts[first..(first += (int)part.Rows)];
                    Assert.InRange(own.Max() - own.Min(), 0, 1);
                    Assert.Equal((epoch + 1) * Math.Max(1, (long)Math.Round(part.Rows * part.Weight)), own.Sum());
                }
            }
        }, iter: 60);

    [Fact]
    public void Buckets_read_one_bin_of_each_dataset_in_turn()
    {
        var order = new MixtureOrder([new MixturePart(40, 1), new MixturePart(80, 1)], 4, 9);
        for (int bucket = 0; bucket < 4; bucket++)
        {
            long[] read = [.. Enumerable.Range(bucket * 30, 30).Select(i => order.RowAt(i))];
            long[] expected = [.. Enumerable.Range(bucket * 10, 10).Concat(Enumerable.Range(40 + (bucket * 20), 20)).Select(i => (long)i)];
            Assert.Equal(expected, read.Order());
            Assert.NotEqual(expected, read);
        }
    }

    [Fact]
    public void Epochs_and_seeds_have_orders_of_their_own()
    {
        MixturePart[] parts = [new(100, 1), new(300, 1)];
        long[] Take(long seed, int buckets, long from) => [.. Enumerable.Range(0, 400).Select(i => new MixtureOrder(parts, buckets, seed).RowAt(from + i))];
        foreach (int buckets in new[] { 1, 3 })
        {
            Assert.NotEqual(Take(1, buckets, 0), Take(1, buckets, 400));
            Assert.NotEqual(Take(1, buckets, 0), Take(2, buckets, 0));
        }
    }

    private static long[] Batch(StepRows plan, long batch, int ranks)
    {
        // As the step puts them: accumulation first, then replica.
        long[][][] ids = [.. Enumerable.Range(0, ranks).Select(r => plan.IdsOf(batch, r).ToArray())];
        return [.. Enumerable.Range(0, plan.Accumulation).SelectMany(a => ids.SelectMany(r => r[a]))];
    }
}
