using System.Globalization;
using System.Text;

namespace Drover.Tokenization.Training;

/// <summary>
/// Counts the words of a text to learn from, cut as SentencePiece cuts: before spaces (which become U+2581 and go with the word
/// behind them), between scripts, and around every digit.
/// </summary>
public sealed class TrainingWords
{
    private readonly Dictionary<string, long> _words = new(StringComparer.Ordinal);
    private readonly Dictionary<string, long>.AlternateLookup<ReadOnlySpan<char>> _lookup;

    /// <summary>No words.</summary>
    public TrainingWords() => _lookup = _words.GetAlternateLookup<ReadOnlySpan<char>>();

    /// <summary>Words and how often they were seen.</summary>
    public IReadOnlyDictionary<string, long> Counts => _words;

    /// <summary>Counts the words of a text.</summary>
    public void Add(string text)
    {
        foreach (ReadOnlySpan<char> line in text.AsSpan().EnumerateLines())
        {
            if (!line.IsEmpty)
                AddLine("▁" + line.ToString().Replace(' ', '▁'));
        }
    }

    private enum Script
    {
        Space,
        Digit,
        Control,
        Common,
        Latin,
        Greek,
        Cyrillic,
        Hebrew,
        Arabic,
        Indic,
        Thai,
        Hangul,
        Han,
        Other,
    }

    private void AddLine(string text)
    {
        int start = 0;
        Script current = Script.Space;
        for (int at = 0; at < text.Length;)
        {
            Rune.DecodeFromUtf16(text.AsSpan(at), out Rune rune, out int size);
            Script script = ScriptOf(rune, current);
            bool joins = script != Script.Control
                && (current == Script.Space ? script is not (Script.Space or Script.Digit) : script == current && script != Script.Digit);
            if (at > start && !joins)
            {
                Count(text.AsSpan(start, at - start));
                start = at;
            }

            if (script == Script.Control)
                start = at + size; // never part of a piece
            current = script;
            at += size;
        }

        Count(text.AsSpan(start));
    }

    private void Count(ReadOnlySpan<char> word)
    {
        if (!word.IsEmpty)
            _lookup[word] = _lookup.TryGetValue(word, out long count) ? count + 1 : 1;
    }

    // .NET knows no scripts; blocks are near enough to keep words of two alphabets apart.
    private static Script ScriptOf(Rune rune, Script before)
    {
        int c = rune.Value;
        if (c == '▁')
            return Script.Space;
        UnicodeCategory category = Rune.GetUnicodeCategory(rune);
        if (category is UnicodeCategory.Control or UnicodeCategory.Surrogate or UnicodeCategory.OtherNotAssigned or UnicodeCategory.LineSeparator || c == 0xFFFD)
            return Script.Control;
        if (category == UnicodeCategory.DecimalDigitNumber)
            return Script.Digit;
        if (category is UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.EnclosingMark && before != Script.Space)
            return before;
        if (!Rune.IsLetter(rune))
            return Script.Common;
        return c switch
        {
            < 0x0370 or (>= 0x1E00 and < 0x1F00) or (>= 0xFF21 and < 0xFF5B) => Script.Latin,
            < 0x0400 or (>= 0x1F00 and < 0x2000) => Script.Greek,
            < 0x0530 => Script.Cyrillic,
            >= 0x0590 and < 0x0600 => Script.Hebrew,
            >= 0x0600 and < 0x0780 => Script.Arabic,
            >= 0x0900 and < 0x0E00 => Script.Indic,
            >= 0x0E00 and < 0x0E80 => Script.Thai,
            (>= 0x1100 and < 0x1200) or (>= 0xAC00 and < 0xD7B0) => Script.Hangul,
            (>= 0x2E80 and < 0xA4D0) or (>= 0xF900 and < 0xFB00) or (>= 0x20000 and < 0x40000) => Script.Han,
            _ => Script.Other,
        };
    }
}
