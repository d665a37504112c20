using System.Globalization;
using System.Text;

namespace Drover.Tokenization;

/// <summary>
/// Cuts text as LLaMA-3's pattern does (<see cref="Formats.TokenizerJson.TokenizerJsonModel.Llama3Pattern"/>). Written out by hand because
/// .NET's regular expressions see UTF-16 units: they would take half of a character outside the BMP for a symbol before a word.
/// </summary>
internal static class Llama3Words
{
    /// <summary>Length of the word at the start of a text that is not empty, in UTF-16 units.</summary>
    public static int Next(ReadOnlySpan<char> text)
    {
        if (Contraction(text) is var contraction and > 0)
            return contraction;
        (Kind kind, int size) = At(text, 0);
        if (kind == Kind.Letter)
            return Run(text, size, Kind.Letter);
        // [^\r\n\p{L}\p{N}]?\p{L}+
        if (kind is Kind.Other or Kind.Space && At(text, size).Kind == Kind.Letter)
            return Run(text, size, Kind.Letter);
        if (kind == Kind.Number)
            return Numbers(text);
        // " ?[^\s\p{L}\p{N}]+[\r\n]*"
        int start = text[0] == ' ' ? 1 : 0;
        if (At(text, start).Kind == Kind.Other)
            return Run(text, Run(text, start, Kind.Other), Kind.NewLine);
        return Spaces(text);
    }

    private enum Kind
    {
        End,
        Letter,
        Number,
        NewLine,
        Space,
        Other,
    }

    // \s*[\r\n]+ takes up to the last line end of a run of spaces; else \s+(?!\S) leaves one space to the next word; else \s+.
    private static int Spaces(ReadOnlySpan<char> text)
    {
        int end = 0;
        int lastLineEnd = 0;
        int lastSpace = 0;
        for (; At(text, end) is { Kind: Kind.Space or Kind.NewLine } next; end += next.Size)
        {
            lastSpace = end;
            if (next.Kind == Kind.NewLine)
                lastLineEnd = end + next.Size;
        }

        if (lastLineEnd > 0)
            return lastLineEnd;
        return end == text.Length || lastSpace == 0 ? end : lastSpace;
    }

    private static int Numbers(ReadOnlySpan<char> text)
    {
        int end = 0;
        for (int n = 0; n < 3 && At(text, end) is { Kind: Kind.Number } next; n++)
            end += next.Size;
        return end;
    }

    private static int Run(ReadOnlySpan<char> text, int from, Kind kind)
    {
        while (At(text, from) is var next && next.Kind == kind)
            from += next.Size;
        return from;
    }

    private static int Contraction(ReadOnlySpan<char> text)
    {
        if (text.Length < 2 || text[0] != '\'')
            return 0;
        char first = char.ToLowerInvariant(text[1]);
        // U+017F is a case form of s.
        if (first is 's' or 't' or 'm' or 'd' or '\u017F')
            return 2;
        char second = text.Length > 2 ? char.ToLowerInvariant(text[2]) : '\0';
        return (first, second) is ('r', 'e') or ('v', 'e') or ('l', 'l') ? 3 : 0;
    }

    private static (Kind Kind, int Size) At(ReadOnlySpan<char> text, int at)
    {
        if (at >= text.Length)
            return (Kind.End, 0);
        char c = text[at];
        if (char.IsAscii(c))
        {
            return (char.IsAsciiLetter(c) ? Kind.Letter
                : char.IsAsciiDigit(c) ? Kind.Number
                : c is '\r' or '\n' ? Kind.NewLine
                : char.IsWhiteSpace(c) ? Kind.Space : Kind.Other, 1);
        }

        Rune.DecodeFromUtf16(text[at..], out Rune rune, out int size);
        if (Rune.IsWhiteSpace(rune))
            return (Kind.Space, size);
        return (Rune.GetUnicodeCategory(rune) switch
        {
            UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter
                or UnicodeCategory.ModifierLetter or UnicodeCategory.OtherLetter => Kind.Letter,
            UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber => Kind.Number,
            _ => Kind.Other,
        }, size);
    }
}
