using System.Diagnostics;
using System.Text;
using System.Text.Json;
using Drover.Tokenization;
using Drover.Tokenization.Expansion;
using Drover.Tokenization.Training;

namespace Drover.Benchmarks.Tokenizers;

/// <summary>
/// Learns pieces from texts and compares, on every twentieth document, which is held out, the tokens before, with the pieces learnt, and
/// with as many first pieces of another vocabulary. Prints times and the process's peak memory.
/// </summary>
internal static class LearningBenchmark
{
    public static void Run(Vocabulary vocabulary, int count, string? donor, IReadOnlySet<Script> scripts, IEnumerable<string> paths)
    {
        byte[][] documents = Documents.Read(paths);
        byte[][] heldOut = [.. documents.Where((_, i) => i % 20 == 0)];
        long start = Stopwatch.GetTimestamp();
        TrainingWords words = TrainingWords.Of([.. documents.Where((_, i) => i % 20 != 0).Select(Encoding.UTF8.GetString)], CancellationToken.None);
        double counted = Stopwatch.GetElapsedTime(start).TotalSeconds;
        IReadOnlyList<string> pieces = PieceLearner.Learn(vocabulary, words, new PieceLearningOptions { Count = count, Scripts = scripts }, null, CancellationToken.None);
        double learnt = Stopwatch.GetElapsedTime(start).TotalSeconds;
        Console.WriteLine(JsonSerializer.Serialize(new
        {
            bytes = documents.Sum(d => (long)d.Length),
            different_words = words.Counts.Count,
            pieces = pieces.Count,
            seconds_counting = Math.Round(counted, 2),
            seconds = Math.Round(learnt, 2),
            peak_mb = Process.GetCurrentProcess().PeakWorkingSet64 >> 20,
            first = string.Join(' ', pieces.Take(20)),
        }));
        Report("base", vocabulary, [], heldOut);
        Report("learnt", vocabulary, pieces, heldOut);
        if (donor is not null)
            Report("donor", vocabulary, DonorVocabulary.Parse(File.ReadAllBytes(donor), donor).Take(count), heldOut);
    }

    private static void Report(string name, Vocabulary vocabulary, IEnumerable<string> pieces, byte[][] texts)
    {
        ExpandedVocabulary expanded = VocabularyExpander.Expand(vocabulary, pieces, CancellationToken.None);
        ITextTokenizer tokenizer = TokenizerFolder.Create(expanded.Vocabulary);
        var ids = new TokenBuffer();
        foreach (byte[] text in texts)
            tokenizer.Encode(text, ids);
        Console.WriteLine(JsonSerializer.Serialize(new { vocabulary = name, expanded.Added, expanded.Intermediate, held_out_tokens = ids.Count }));
    }
}
