using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;

namespace Drover.Tokenization;

/// <summary>What the patterns of byte-level tokenizers ask of a character.</summary>
internal enum CharacterClass : byte
{
    /// <summary>None of the others: punctuation, symbols, marks, controls.</summary>
    Other,

    /// <summary>\p{L}.</summary>
    Letter,

    /// <summary>\p{N}.</summary>
    Number,

    /// <summary>\s, line ends aside.</summary>
    Space,

    /// <summary>\r and \n.</summary>
    NewLine,
}

/// <summary>Classes by code point.</summary>
internal static class CharacterClasses
{
    private static readonly byte[] Basic = [.. Enumerable.Range(0, 0x10000).Select(c => (byte)Classify(c))];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static CharacterClass Of(int codePoint) => codePoint < 0x10000 ? (CharacterClass)Basic[codePoint] : Classify(codePoint);

    private static CharacterClass Classify(int codePoint)
    {
        if (codePoint is '\r' or '\n')
            return CharacterClass.NewLine;
        if (!Rune.TryCreate(codePoint, out Rune rune))
            return CharacterClass.Other;
        if (Rune.IsWhiteSpace(rune))
            return CharacterClass.Space;
        return Rune.GetUnicodeCategory(rune) switch
        {
            UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter
                or UnicodeCategory.ModifierLetter or UnicodeCategory.OtherLetter => CharacterClass.Letter,
            UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber => CharacterClass.Number,
            _ => CharacterClass.Other,
        };
    }
}
