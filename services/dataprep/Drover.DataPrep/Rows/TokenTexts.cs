using Drover.Formats.Datasets;
using Drover.Tokenization;

namespace Drover.DataPrep.Rows;

/// <summary>The text of each token of a row, such that together they are the text of its documents.</summary>
internal static class TokenTexts
{
    private const char Broken = '\uFFFD';

    // A character has at most 4 bytes, so a token that still ends within one after as many was no text.
    private const int MostPending = 4;

    /// <summary>Texts in the order of tokens; what takes several tokens stands at the last of them, special tokens by their names.</summary>
    public static IEnumerable<string> Of(ITextTokenizer tokenizer, PackedRow row)
    {
        int start = 0;
        foreach (int length in row.DocumentLengths)
        {
            foreach (string text in Of(tokenizer, row.InputIds[start..(start + length)]))
                yield return text;
            start += length;
        }
    }

    // A decoder may drop a space at the start of what it is given: so each text is what a token adds to those before it.
    private static IEnumerable<string> Of(ITextTokenizer tokenizer, int[] ids)
    {
        int before = 0, next = 0;
        for (int i = 0; i < ids.Length; i++)
        {
            string known = tokenizer.Decode(ids[before..next], skipSpecialTokens: false);
            string all = tokenizer.Decode(ids[before..(i + 1)], skipSpecialTokens: false);
            bool isPending = all.EndsWith(Broken) && i + 1 < ids.Length && i - next + 1 < MostPending;
            yield return isPending || all.Length < known.Length ? "" : all[known.Length..];
            if (!isPending)
                (before, next) = (next, i + 1);
        }
    }
}
