using System.Buffers.Binary;
using System.Text;

namespace Drover.DataPrep.Quality;

/// <summary>The commonest words of languages, by their first eight bytes in lower case: an open hash table of numbers.</summary>
internal sealed class CommonWords
{
    private const int Bits = 10;
    private const int LongestWord = sizeof(ulong);
    private readonly (ulong Word, int Languages)[] _slots = new (ulong, int)[1 << Bits];

    /// <summary>Takes the words of each language, of up to eight bytes.</summary>
    public CommonWords(IReadOnlyList<string[]> words)
    {
        Span<byte> bytes = stackalloc byte[LongestWord];
        for (int language = 0; language < words.Count; language++)
        {
            foreach (string word in words[language])
            {
                bytes.Clear();
                Encoding.UTF8.GetBytes(word, bytes);
                ref (ulong Word, int Languages) slot = ref Find(BinaryPrimitives.ReadUInt64LittleEndian(bytes));
                slot = (BinaryPrimitives.ReadUInt64LittleEndian(bytes), slot.Languages | (1 << language));
            }
        }
    }

    /// <summary>A bit for each language that a word is common in.</summary>
    /// <param name="text">The word and what follows, eight bytes at least.</param>
    /// <param name="length">Bytes of the word.</param>
    public int LanguagesOf(ReadOnlySpan<byte> text, int length)
    {
        if (length > LongestWord)
            return 0;
        ulong word = BinaryPrimitives.ReadUInt64LittleEndian(text) & (ulong.MaxValue >> (8 * (LongestWord - length)));
        // Capital letters become small; the bytes of other letters have their bits where they are not touched.
        ulong ascii = ~word & 0x8080808080808080;
        return Find(word | ((ascii >> 2) & ((ulong.MaxValue >> (8 * (LongestWord - length))) & 0x2020202020202020))).Languages;
    }

    private ref (ulong Word, int Languages) Find(ulong word)
    {
        int at = (int)((word * 0x9E3779B97F4A7C15) >> (64 - Bits));
        while (_slots[at].Word != 0 && _slots[at].Word != word)
            at = (at + 1) & ((1 << Bits) - 1);
        return ref _slots[at];
    }
}
