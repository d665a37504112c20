namespace Drover.Trainer.Model;

/// <summary>Some queries and the stretch of keys that any of them may see.</summary>
/// <param name="QueryStart">Of the tokens of the batch.</param>
/// <param name="QueryCount">At most the tile size.</param>
/// <param name="KeyStart">Of the tokens of the batch.</param>
/// <param name="KeyCount">Keys of the tile.</param>
/// <param name="IsPlain">All queries are of one document, and so are all keys: the mask is the causal one, with the window alone taken off.</param>
public readonly record struct AttentionTile(int QueryStart, int QueryCount, int KeyStart, int KeyCount, bool IsPlain)
{
    /// <summary>Short stretches of keys begin and end at multiples of it.</summary>
    internal const int Alignment = 64;

    private const int LongStretch = 1024;

    /// <summary>
    /// Cuts queries into tiles. Keys before the document and the window of a tile's first query, and after its last query, take no part: with
    /// causal attention about half of the square is never computed, and nothing quadratic is ever held.
    /// </summary>
    /// <param name="documentStarts">For each token of the batch, where its document starts.</param>
    /// <param name="window">Keys that a query sees at most, itself counted.</param>
    /// <param name="queries">First query and their number.</param>
    /// <param name="keys">First key and their number: the keys at hand, which may be another stretch than the queries'.</param>
    /// <param name="size">Queries of a tile.</param>
    public static List<AttentionTile> Cut(ReadOnlySpan<int> documentStarts, int window, (int Start, int Count) queries, (int Start, int Count) keys, int size)
    {
        var tiles = new List<AttentionTile>();
        int end = queries.Start + queries.Count;
        for (int start = queries.Start; start < end; start += size)
        {
            int count = Math.Min(size, end - start), last = start + count - 1;
            int from = Math.Max(Math.Max(documentStarts[start], start - window + 1), keys.Start), to = Math.Min(last + 1, keys.Start + keys.Count);
            if (to <= from)
                continue;
            // The library prepares and caches a kernel for each shape that it meets: short stretches come in few lengths.
            if (to - from <= LongStretch)
                (from, to) = (Math.Max(keys.Start, from / Alignment * Alignment), Math.Min(keys.Start + keys.Count, (to + Alignment - 1) / Alignment * Alignment));
            tiles.Add(new AttentionTile(start, count, from, to - from, documentStarts[last] <= from && to == last + 1 && to - from >= count));
        }

        return tiles;
    }
}
