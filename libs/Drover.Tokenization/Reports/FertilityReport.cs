using System.Text;
using System.Text.Json;
using Drover.Tokenization.Training;

namespace Drover.Tokenization.Reports;

/// <summary>Counts tokens of texts before and after an expansion, by file and by language, and how often each new piece is used.</summary>
public sealed class FertilityReport
{
    private readonly ITextTokenizer _before;
    private readonly ITextTokenizer _after;
    private readonly long _newParameters;
    private readonly Dictionary<(string Source, string Language), FertilityRow> _rows = [];
    private readonly long[] _uses;
    private readonly TokenBuffer _ids = new();

    /// <summary>Starts a report.</summary>
    /// <param name="before">The base.</param>
    /// <param name="after">The expanded tokenizer: the same ids and more.</param>
    /// <param name="newParameters">Parameters that the new rows add to the model, 0 without a model.</param>
    public FertilityReport(ITextTokenizer before, ITextTokenizer after, long newParameters)
    {
        (_before, _after, _newParameters) = (before, after, newParameters);
        _uses = new long[Math.Max(0, after.VocabularySize - before.VocabularySize)];
    }

    /// <summary>One row for each source and language, in the order of their names, and a last one for all.</summary>
    public IReadOnlyList<FertilityRow> Rows
    {
        get
        {
            FertilityRow[] rows = [.. _rows.Values.OrderBy(r => r.Source, StringComparer.Ordinal).ThenBy(r => r.Language, StringComparer.Ordinal)];
            return rows.Length == 0 ? [] : [.. rows, rows.Aggregate((a, b) => Sum(a, b) with { Source = "", Language = "" }) with { Source = "", Language = "" }];
        }
    }

    /// <summary>Counts a text of a source.</summary>
    public void Add(string source, string text)
    {
        byte[] utf8 = Encoding.UTF8.GetBytes(text);
        (long characters, long words, Script script) = Measure(text);
        _ids.Clear();
        _before.Encode(utf8, _ids);
        long before = _ids.Count;
        _ids.Clear();
        _after.Encode(utf8, _ids);
        foreach (int id in _ids.Ids)
        {
            if (id >= _before.VocabularySize)
                _uses[id - _before.VocabularySize]++;
        }

        (string, string) key = (source, script.ToString().ToLowerInvariant());
        var row = new FertilityRow(key.Item1, key.Item2, 1, characters, words, utf8.Length, before, _ids.Count);
        _rows[key] = _rows.TryGetValue(key, out FertilityRow? known) ? Sum(known, row) : row;
    }

    /// <summary>The report as JSON: rows, the uses of each new piece from the most used on, and the cost in parameters.</summary>
    public string ToJson()
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteNumber("old_vocabulary_size", _before.VocabularySize);
            json.WriteNumber("new_vocabulary_size", _after.VocabularySize);
            json.WriteNumber("new_parameters", _newParameters);
            json.WriteStartArray("rows");
            foreach (FertilityRow row in Rows)
                Write(json, row);
            json.WriteEndArray();
            json.WriteNumber("unused_pieces", _uses.Count(u => u == 0));
            json.WriteStartObject("uses");
            foreach ((long uses, int index) in _uses.Select((u, i) => (u, i)).Where(p => p.u > 0).OrderByDescending(p => p.u).ThenBy(p => p.i))
                json.WriteNumber(_after.PieceOf(_before.VocabularySize + index), uses);
            json.WriteEndObject();
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.ToArray()) + "\n";
    }

    private static void Write(Utf8JsonWriter json, FertilityRow row)
    {
        json.WriteStartObject();
        json.WriteString("source", row.Source);
        json.WriteString("language", row.Language);
        json.WriteNumber("documents", row.Documents);
        json.WriteNumber("characters", row.Characters);
        json.WriteNumber("words", row.Words);
        json.WriteNumber("utf8_bytes", row.Utf8Bytes);
        json.WriteNumber("tokens_before", row.TokensBefore);
        json.WriteNumber("tokens_after", row.TokensAfter);
        json.WriteNumber("tokens_per_character_before", Math.Round(row.CompressionBefore, 4));
        json.WriteNumber("tokens_per_character_after", Math.Round(row.CompressionAfter, 4));
        json.WriteNumber("tokens_per_word_before", Math.Round(row.FertilityBefore, 4));
        json.WriteNumber("tokens_per_word_after", Math.Round(row.FertilityAfter, 4));
        json.WriteNumber("bytes_per_token_before", Math.Round(row.BytesPerTokenBefore, 4));
        json.WriteNumber("bytes_per_token_after", Math.Round(row.BytesPerTokenAfter, 4));
        json.WriteEndObject();
    }

    private static FertilityRow Sum(FertilityRow a, FertilityRow b) => a with
    {
        Documents = a.Documents + b.Documents,
        Characters = a.Characters + b.Characters,
        Words = a.Words + b.Words,
        Utf8Bytes = a.Utf8Bytes + b.Utf8Bytes,
        TokensBefore = a.TokensBefore + b.TokensBefore,
        TokensAfter = a.TokensAfter + b.TokensAfter,
    };

    private static (long Characters, long Words, Script Script) Measure(string text)
    {
        long characters = 0, words = 0;
        long[] letters = new long[(int)Script.Other + 1];
        Script before = Script.Space;
        foreach (Rune rune in text.EnumerateRunes())
        {
            characters++;
            Script script = rune.Value == ' ' ? Script.Space : Scripts.Of(rune, before);
            bool inWord = script > Script.Common || script == Script.Digit;
            bool wasInWord = before > Script.Common || before == Script.Digit;
            if (inWord && (!wasInWord || script == Script.Han))
                words++;
            if (script > Script.Common)
                letters[(int)script]++;
            before = script;
        }

        int most = Array.IndexOf(letters, letters.Max());
        return (characters, words, letters[most] == 0 ? Script.Common : (Script)most);
    }
}
