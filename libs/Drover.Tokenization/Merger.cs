namespace Drover.Tokenization;

/// <summary>
/// Merges neighbours, always the pair of the best priority and of those the leftmost, until none is left. Holds scratch memory: one
/// for each thread.
/// </summary>
/// <remarks>
/// Few symbols are looked along each time; more take a heap (n log n). A long run is done in windows, so that memory stays bounded. Results
/// stand if each two neighbours came out of one window: merges of the two go the same way alone and inside a text up to the first merge
/// that would cross from one into the other, and in that window none did. So a window begins with the last result of the one before,
/// and must find it again.
/// </remarks>
internal sealed class Merger(MergeTable table)
{
    private const int ShortWord = 24;
    private const int Window = 1 << 14;
    private const int Overlap = 256;
    private readonly PriorityQueue<int, long> _heap = new();
    private int[] _next = [];
    private int[] _previous = [];

    /// <summary>Merges in place.</summary>
    /// <returns>How many symbols are left at the start of <paramref name="symbols"/>.</returns>
    public int Apply(Span<int> symbols)
    {
        if (symbols.Length < 2)
            return symbols.Length;
        if (symbols.Length <= ShortWord)
            return ApplyShort(symbols);
        return symbols.Length <= 2 * Window ? ApplyHeap(symbols, default) : ApplyLong(symbols);
    }

    private int ApplyShort(Span<int> symbols)
    {
        Span<MergeTable.Offer> offers = stackalloc MergeTable.Offer[ShortWord];
        for (int i = 0; i + 1 < symbols.Length; i++)
            offers[i] = table.OfferOf(symbols[i], symbols[i + 1]);
        for (int count = symbols.Length; ; count--)
        {
            int best = 0;
            for (int i = 1; i + 1 < count; i++)
            {
                if (offers[i].Priority < offers[best].Priority)
                    best = i;
            }

            if (count < 2 || offers[best].Priority == MergeTable.Never)
                return count;
            symbols[best] = offers[best].Merged;
            symbols[(best + 2)..count].CopyTo(symbols[(best + 1)..]);
            offers[(best + 1)..(count - 1)].CopyTo(offers[best..]);
            if (best + 2 < count)
                offers[best] = table.OfferOf(symbols[best], symbols[best + 1]);
            if (best > 0)
                offers[best - 1] = table.OfferOf(symbols[best - 1], symbols[best]);
        }
    }

    /// <summary>With <paramref name="starts"/>: also where each symbol that is left began.</summary>
    private int ApplyHeap(Span<int> symbols, Span<int> starts)
    {
        int count = symbols.Length;
        if (_next.Length < count)
            (_next, _previous) = (new int[count], new int[count]);
        for (int i = 0; i < count; i++)
        {
            _next[i] = i + 1;
            _previous[i] = i - 1;
            if (i + 1 < count)
                Enqueue(symbols, i, i + 1);
        }

        while (_heap.TryDequeue(out int at, out long rank))
        {
            int right = _next[at];
            if (right >= count)
                continue; // gone (its next is past the end), or the last
            MergeTable.Offer offer = table.OfferOf(symbols[at], symbols[right]);
            if (offer.Priority != (int)(rank >> 32))
                continue; // one of the two was merged into something else meanwhile
            symbols[at] = offer.Merged;
            int next = _next[right];
            _next[right] = int.MaxValue;
            _next[at] = next;
            if (next < count)
            {
                _previous[next] = at;
                Enqueue(symbols, at, next);
            }

            if (_previous[at] >= 0)
                Enqueue(symbols, _previous[at], at);
        }

        int left = 0;
        for (int i = 0; i < count; i = _next[i])
        {
            if (!starts.IsEmpty)
                starts[left] = i;
            symbols[left++] = symbols[i];
        }

        return left;
    }

    private int ApplyLong(Span<int> symbols)
    {
        var done = new List<int>(symbols.Length / 2);
        var starts = new List<int>(symbols.Length / 2);
        (int[] window, int[] windowStarts) = (new int[Window], new int[Window]);
        for (int end = 0, size = Window; end < symbols.Length;)
        {
            int from = done.Count > 0 ? starts[^1] : 0;
            int length = Math.Min(size, symbols.Length - from);
            if (window.Length < length)
                (window, windowStarts) = (new int[length], new int[length]);
            symbols.Slice(from, length).CopyTo(window);
            int count = ApplyHeap(window.AsSpan(0, length), windowStarts);
            bool isLast = from + length == symbols.Length;
            int keep = isLast ? count : count - Math.Min(Overlap, count / 2);
            bool meets = done.Count == 0 || (window[0] == done[^1] && (count > 1 ? windowStarts[1] : length) == end - from);
            if (!meets || (keep < 2 && !isLast))
            {
                // What lies behind the window reached into it: the next is wider and begins further back.
                int left = Math.Max(0, done.Count - Overlap);
                end = left < starts.Count ? starts[left] : end;
                done.RemoveRange(left, done.Count - left);
                starts.RemoveRange(left, starts.Count - left);
                size = (int)Math.Min(2L * size, symbols.Length);
                continue;
            }

            for (int i = done.Count > 0 ? 1 : 0; i < keep; i++)
            {
                done.Add(window[i]);
                starts.Add(from + windowStarts[i]);
            }

            end = from + (keep < count ? windowStarts[keep] : length);
            size = Window;
        }

        System.Runtime.InteropServices.CollectionsMarshal.AsSpan(done).CopyTo(symbols);
        return done.Count;
    }

    private void Enqueue(ReadOnlySpan<int> symbols, int left, int right)
    {
        int priority = table.OfferOf(symbols[left], symbols[right]).Priority;
        if (priority != MergeTable.Never)
            _heap.Enqueue(left, ((long)priority << 32) | (uint)left);
    }
}
