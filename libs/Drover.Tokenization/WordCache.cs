using System.Collections.Concurrent;

namespace Drover.Tokenization;

/// <summary>Ids of words that were cut before. Bounded: text that never repeats must not fill the memory.</summary>
internal sealed class WordCache
{
    private const int MaxWords = 1 << 17;
    private const int MaxWordLength = 40;
    private readonly ConcurrentDictionary<string, int[]> _words = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, int[]>.AlternateLookup<ReadOnlySpan<char>> _lookup;
    private int _count;

    public WordCache() => _lookup = _words.GetAlternateLookup<ReadOnlySpan<char>>();

    public int[]? Find(ReadOnlySpan<char> word) => word.Length <= MaxWordLength && _lookup.TryGetValue(word, out int[]? ids) ? ids : null;

    public void Keep(ReadOnlySpan<char> word, int[] ids)
    {
        if (word.Length <= MaxWordLength && _count < MaxWords && _lookup.TryAdd(word, ids))
            Interlocked.Increment(ref _count);
    }
}
