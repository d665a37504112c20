using System.Runtime.CompilerServices;

namespace Drover.Tokenization;

/// <summary>
/// Which neighbouring symbols merge into which piece, and how early. A symbol is a piece id, or the complement of a code point
/// for a character that is no piece.
/// </summary>
internal sealed class MergeTable
{
    private const int ShortWord = 24;
    private readonly Dictionary<long, Merge> _merges;

    public MergeTable(IReadOnlyList<Merge> merges)
    {
        _merges = new Dictionary<long, Merge>(merges.Count);
        foreach (Merge merge in merges)
            Add(merge);
    }

    /// <summary>Adds a merge; a pair that is there already keeps its place.</summary>
    public void Add(Merge merge) => _merges.TryAdd(Key(merge.Left, merge.Right), merge);

    public bool TryGet(int left, int right, out Merge merge) => _merges.TryGetValue(Key(left, right), out merge);

    /// <summary>
    /// Merges neighbours, always the pair of the best priority and of those the leftmost, until none is left.
    /// A heap of candidates and linked symbols: n log n.
    /// </summary>
    /// <returns>How many symbols are left at the start of <paramref name="symbols"/>.</returns>
    public int Apply(Span<int> symbols)
    {
        int count = symbols.Length;
        if (count < 2)
            return count;
        if (count <= ShortWord)
            return ApplyShort(symbols);
        int[] next = new int[count];
        int[] previous = new int[count];
        bool[] gone = new bool[count];
        var heap = new PriorityQueue<(int At, Merge Merge), long>();
        for (int i = 0; i < count; i++)
        {
            next[i] = i + 1;
            previous[i] = i - 1;
            if (i + 1 < count)
                Offer(heap, i, symbols[i], symbols[i + 1]);
        }

        while (heap.TryDequeue(out (int At, Merge Merge) best, out _))
        {
            int at = best.At;
            int right = gone[at] ? count : next[at];
            if (right >= count || symbols[at] != best.Merge.Left || symbols[right] != best.Merge.Right)
                continue; // one of the two was merged into something else meanwhile
            symbols[at] = best.Merge.Merged;
            gone[right] = true;
            next[at] = next[right];
            if (next[at] < count)
            {
                previous[next[at]] = at;
                Offer(heap, at, symbols[at], symbols[next[at]]);
            }

            if (previous[at] >= 0)
                Offer(heap, previous[at], symbols[previous[at]], symbols[at]);
        }

        int left = 0;
        for (int i = 0; i < count; i = next[i])
            symbols[left++] = symbols[i];
        return left;
    }

    /// <summary>The same for few symbols: looking along them each time is faster than a heap.</summary>
    private int ApplyShort(Span<int> symbols)
    {
        Span<Merge> offers = stackalloc Merge[ShortWord];
        for (int i = 0; i + 1 < symbols.Length; i++)
            offers[i] = OfferOf(symbols[i], symbols[i + 1]);
        for (int count = symbols.Length; ; count--)
        {
            int best = 0;
            for (int i = 1; i + 1 < count; i++)
            {
                if (offers[i].Priority < offers[best].Priority)
                    best = i;
            }

            if (count < 2 || offers[best].Priority == int.MaxValue)
                return count;
            symbols[best] = offers[best].Merged;
            symbols[(best + 2)..count].CopyTo(symbols[(best + 1)..]);
            offers[(best + 1)..(count - 1)].CopyTo(offers[best..]);
            if (best + 2 < count)
                offers[best] = OfferOf(symbols[best], symbols[best + 1]);
            if (best > 0)
                offers[best - 1] = OfferOf(symbols[best - 1], symbols[best]);
        }
    }

    private Merge OfferOf(int left, int right) => TryGet(left, right, out Merge merge) ? merge : new Merge(left, right, 0, int.MaxValue);

    private void Offer(PriorityQueue<(int At, Merge Merge), long> heap, int at, int left, int right)
    {
        if (TryGet(left, right, out Merge merge))
            heap.Enqueue((at, merge), ((long)merge.Priority << 32) | (uint)at);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static long Key(int left, int right) => ((long)left << 32) | (uint)right;
}

/// <summary>A pair that merges.</summary>
/// <param name="Left">Symbol.</param>
/// <param name="Right">Symbol.</param>
/// <param name="Merged">Piece id.</param>
/// <param name="Priority">Smaller merges earlier; pairs of equal priority merge from left to right.</param>
public readonly record struct Merge(int Left, int Right, int Merged, int Priority);
