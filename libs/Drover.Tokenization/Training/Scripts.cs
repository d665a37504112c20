using System.Globalization;
using System.Text;

namespace Drover.Tokenization.Training;

/// <summary>Writing systems, as far as pieces are kept within one.</summary>
public enum Script
{
    /// <summary>U+2581, which stands for a space.</summary>
    Space,

    /// <summary>Decimal digits of any script.</summary>
    Digit,

    /// <summary>Controls and what is not assigned: never part of a piece.</summary>
    Control,

    /// <summary>Punctuation and symbols.</summary>
    Common,

    /// <summary>Latin letters.</summary>
    Latin,

    /// <summary>Greek letters.</summary>
    Greek,

    /// <summary>Cyrillic letters.</summary>
    Cyrillic,

    /// <summary>Hebrew letters.</summary>
    Hebrew,

    /// <summary>Arabic letters.</summary>
    Arabic,

    /// <summary>Devanagari, Bengali, Tamil and the other scripts of India.</summary>
    Indic,

    /// <summary>Thai letters.</summary>
    Thai,

    /// <summary>Korean syllables and letters.</summary>
    Hangul,

    /// <summary>Chinese characters, and the Japanese kana beside them.</summary>
    Han,

    /// <summary>Letters of all other scripts.</summary>
    Other,
}

/// <summary>The script of a character. .NET knows no scripts; blocks are near enough to keep words of two alphabets apart.</summary>
public static class Scripts
{
    /// <summary>The script of a character that follows one of another; marks belong to what they stand on.</summary>
    public static Script Of(Rune rune, Script before)
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

    /// <summary>Whether a text has letters, and all of them are of the scripts, or is punctuation that only Chinese writes so; true for any text when no scripts are given.</summary>
    public static bool AllOf(string text, IReadOnlySet<Script> scripts)
    {
        if (scripts.Count == 0)
            return true;
        bool any = false;
        foreach (Rune rune in text.EnumerateRunes())
        {
            if (!Rune.IsLetter(rune))
                continue;
            any = true;
            if (!scripts.Contains(Of(rune, Script.Space)))
                return false;
        }

        return any || (scripts.Contains(Script.Han) && IsOnlyInChinese(text));
    }

    // Of each two neighbours one is Chinese punctuation: what English writes too (curly quotation marks, dashes) is never joined to its like.
    private static bool IsOnlyInChinese(string text)
    {
        static bool IsChinese(char c) => c is (>= '\u3000' and < '\u3040') or (>= '\uFF00' and < '\uFFF0');
        for (int i = 1; i < text.Length; i++)
        {
            if (!IsChinese(text[i - 1]) && !IsChinese(text[i]))
                return false;
        }

        return text.Length > 1 || (text.Length == 1 && IsChinese(text[0]));
    }
}
