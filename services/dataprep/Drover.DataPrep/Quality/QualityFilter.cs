using System.Globalization;
using System.Text;
using Drover.DataPrep.Documents;
using Drover.Protocol.DataPrep.V1;

namespace Drover.DataPrep.Quality;

/// <summary>The rules a document must pass; a pure function of its text.</summary>
internal sealed class QualityFilter(QualityFilters? rules)
{
    /// <summary>What is wrong with a document, or null.</summary>
    public RejectedException? Refuse(RawDocument document)
    {
        if (rules is null)
            return null;
        string text = document.Text;
        return Length(text) ?? Characters(text) ?? Lines(text) ?? Languages(text);
    }

    private RejectedException? Length(string text)
    {
        if (rules!.MinCharacters == 0 && rules.MaxCharacters == 0)
            return null;
        int length = text.EnumerateRunes().Count();
        if (length < rules.MinCharacters)
            return new RejectedException("TOO_FEW_CHARACTERS", $"it has {length} characters, fewer than {rules.MinCharacters}");
        return rules.MaxCharacters > 0 && length > rules.MaxCharacters
            ? new RejectedException("TOO_MANY_CHARACTERS", $"it has {length} characters, more than {rules.MaxCharacters}")
            : null;
    }

    private RejectedException? Characters(string text)
    {
        if (rules!.MinWordCharacterRatio == 0 && rules.MaxDigitRatio == 0)
            return null;
        int all = 0, words = 0, digits = 0;
        foreach (Rune rune in text.EnumerateRunes())
        {
            if (Rune.IsWhiteSpace(rune))
                continue;
            all++;
            bool isDigit = Rune.IsDigit(rune);
            digits += isDigit ? 1 : 0;
            words += isDigit || Rune.IsLetter(rune) ? 1 : 0;
        }

        if (words < rules.MinWordCharacterRatio * all)
            return new RejectedException("TOO_FEW_WORD_CHARACTERS", Ratio("letters and digits", words, all, rules.MinWordCharacterRatio, "less"));
        return rules.MaxDigitRatio > 0 && digits > rules.MaxDigitRatio * all
            ? new RejectedException("TOO_MANY_DIGITS", Ratio("digits", digits, all, rules.MaxDigitRatio, "more"))
            : null;
    }

    private RejectedException? Lines(string text)
    {
        if (rules!.MaxRepeatedLineRatio == 0)
            return null;
        var seen = new HashSet<string>(StringComparer.Ordinal);
        int lines = 0, repeated = 0;
        foreach (ReadOnlySpan<char> line in text.AsSpan().EnumerateLines())
        {
            ReadOnlySpan<char> trimmed = line.Trim();
            if (trimmed.IsEmpty)
                continue;
            lines++;
            repeated += seen.Add(trimmed.ToString()) ? 0 : 1;
        }

        return repeated > rules.MaxRepeatedLineRatio * lines
            ? new RejectedException("REPEATED_LINES", Ratio("lines that were there before", repeated, lines, rules.MaxRepeatedLineRatio, "more"))
            : null;
    }

    private RejectedException? Languages(string text)
    {
        if (rules!.Languages.Count == 0)
            return null;
        string language = Language.Of(text);
        return rules.Languages.Contains(language) ? null : new RejectedException("OTHER_LANGUAGE", $"its language looks like '{language}'");
    }

    private static string Ratio(string what, int part, int all, double limit, string side) =>
        string.Create(CultureInfo.InvariantCulture, $"{part} of {all} are {what}: {side} than {limit:P0}");
}
