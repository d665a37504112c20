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

    /// <summary>Counts the words of texts on all cores.</summary>
    public static TrainingWords Of(IReadOnlyList<string> texts, CancellationToken cancellation)
    {
        int parts = Math.Clamp(texts.Count, 1, Environment.ProcessorCount);
        var counted = new TrainingWords[parts];
        Parallel.For(0, parts, new ParallelOptions { CancellationToken = cancellation }, part =>
        {
            counted[part] = new TrainingWords();
            for (int i = part; i < texts.Count; i += parts)
                counted[part].Add(texts[i]);
        });
        foreach (TrainingWords other in counted[1..])
            counted[0].Add(other);
        return counted[0];
    }

    /// <summary>Counts the words of a text.</summary>
    public void Add(string text)
    {
        foreach (ReadOnlySpan<char> line in text.AsSpan().EnumerateLines())
        {
            if (!line.IsEmpty)
                AddLine("▁" + line.ToString().Replace(' ', '▁'));
        }
    }

    private void AddLine(string text)
    {
        int start = 0;
        Script current = Script.Space;
        for (int at = 0; at < text.Length;)
        {
            Rune.DecodeFromUtf16(text.AsSpan(at), out Rune rune, out int size);
            Script script = Scripts.Of(rune, current);
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

    /// <summary>Adds the words that another has counted.</summary>
    public void Add(TrainingWords other)
    {
        foreach ((string word, long count) in other._words)
            _words[word] = _words.GetValueOrDefault(word) + count;
    }
}
