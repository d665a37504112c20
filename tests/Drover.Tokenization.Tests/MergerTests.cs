namespace Drover.Tokenization.Tests;

public sealed class MergerTests
{
    // Symbols 0 to 2 merge into powers: a run of one symbol halves again and again, and where a window ends matters.
    private static readonly Merge[] Merges =
    [
        new(0, 0, 3, 0), new(3, 3, 4, 1), new(4, 4, 5, 2), new(5, 5, 6, 3), new(0, 1, 7, 4), new(7, 2, 8, 5), new(1, 2, 9, 4), new(8, 8, 10, 6), new(9, 0, 11, 7), new(3, 1, 12, 3), new(12, 12, 13, 2),
    ];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void A_long_run_merges_in_windows_as_it_does_pair_by_pair(int alphabet)
    {
        var table = new MergeTable(Merges);
        var random = new Random(alphabet);
        int[] symbols = [.. Enumerable.Range(0, 70_000).Select(_ => random.Next(alphabet))];
        int[] expected = Naive(table, symbols);
        int[] actual = [.. symbols];
        int count = new Merger(table).Apply(actual);
        Assert.Equal(expected, actual[..count]);
    }

    [Fact]
    public void A_window_that_the_text_behind_it_reaches_into_is_done_again()
    {
        // Of a rising run the last two merge first: which two belong together is told by where the run ends, 1,500 symbols away. An odd run
        // leaves its first alone.
        const int run = 1501;
        var table = new MergeTable([.. Enumerable.Range(0, run - 1).Select(i => new Merge(i, i + 1, run + i, run - i))]);
        int[] symbols = [.. Enumerable.Range(0, 60_000).Select(i => i % run)];
        int[] actual = [.. symbols];
        int count = new Merger(table).Apply(actual);
        Assert.Equal(symbols.Where(s => s == 0 || s % 2 == 1).Select(s => s == 0 ? s : run + s), actual[..count]);
    }

    // Priority by priority: merges of these tables never make a pair of a better priority than the one that is being merged.
    private static int[] Naive(MergeTable table, int[] symbols)
    {
        List<int> now = [.. symbols];
        while (true)
        {
            int best = MergeTable.Never;
            for (int i = 1; i < now.Count; i++)
                best = Math.Min(best, table.OfferOf(now[i - 1], now[i]).Priority);
            if (best == MergeTable.Never)
                return [.. now];
            var next = new List<int>(now.Count);
            bool overtaken = false;
            for (int i = 0; i < now.Count; i++)
            {
                MergeTable.Offer offer = i + 1 < now.Count && !overtaken ? table.OfferOf(now[i], now[i + 1]) : new MergeTable.Offer(0, MergeTable.Never);
                bool merges = offer.Priority == best;
                next.Add(merges ? offer.Merged : now[i]);
                i += merges ? 1 : 0;
                // A better pair that has just come into being goes first: look again from the start.
                overtaken |= merges && next.Count > 1 && table.OfferOf(next[^2], next[^1]).Priority <= best;
                overtaken |= merges && i + 1 < now.Count && table.OfferOf(next[^1], now[i + 1]).Priority < best;
            }

            now = next;
        }
    }
}
