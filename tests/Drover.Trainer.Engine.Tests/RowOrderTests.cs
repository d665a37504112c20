using CsCheck;

namespace Drover.Trainer.Engine.Tests;

public class RowOrderTests
{
    [Fact]
    public void Every_epoch_holds_every_row_once() =>
        Gen.Select(Gen.Int[1, 3000], Gen.Long, Gen.Int[0, 50]).Sample((rows, seed, epoch) =>
        {
            var order = new RowOrder(rows, seed);
            return Enumerable.Range(0, rows).Select(i => order.RowAt(((long)epoch * rows) + i)).Order().SequenceEqual(Enumerable.Range(0, rows).Select(i => (long)i));
        }, iter: 200);

    [Fact]
    public void Epochs_and_seeds_have_orders_of_their_own()
    {
        long[] Take(long seed, long from) => [.. Enumerable.Range(0, 500).Select(i => new RowOrder(500, seed).RowAt(from + i))];
        Assert.NotEqual(Take(1, 0), Take(1, 500));
        Assert.NotEqual(Take(1, 0), Take(2, 0));
    }
}
