using Drover.Jobs;
using Drover.ObjectStore;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Tokenizer.V1;
using Drover.Tokenization;
using Drover.Tokenization.Expansion;
using Drover.Tokenization.Training;

namespace Drover.Tokenizer;

/// <summary>Where the pieces of an expansion come from: a list, another vocabulary, or text to learn from.</summary>
internal sealed class PieceSource(IObjectStore store)
{
    private const double DefaultCoverage = 0.9995;
    private const double DefaultHeldOutShare = 0.02;
    private const long DefaultFrequency = 5;

    /// <summary>The scripts of a spec, by name.</summary>
    public static HashSet<Script> ScriptsOf(ExpansionSpec spec) => [.. spec.Scripts.Select(name => Enum.Parse<Script>(name, ignoreCase: true))];

    /// <summary>Every which document is held out.</summary>
    public static long HeldOutEvery(LearningSpec learning) => (long)Math.Round(1 / (learning.HeldOutShare == 0 ? DefaultHeldOutShare : learning.HeldOutShare));

    public async Task<IReadOnlyList<string>> ReadAsync(JobContext job, ExpansionSpec spec, Vocabulary vocabulary, CancellationToken cancellation)
    {
        if (spec.Learning is { } learning)
            return await LearnAsync(job, spec, learning, vocabulary, cancellation).ConfigureAwait(false);
        bool isList = !DonorVocabulary.IsVocabulary(spec.Pieces) && await store.FindAsync(spec.Pieces, cancellation).ConfigureAwait(false) is not null;
        return isList
            ? PieceList.Parse(await store.ReadTextAsync(spec.Pieces, cancellation).ConfigureAwait(false), spec.Pieces)
            : await DonorVocabulary.ReadAsync(store, spec.Pieces, cancellation).ConfigureAwait(false);
    }

    private async Task<IReadOnlyList<string>> LearnAsync(JobContext job, ExpansionSpec spec, LearningSpec learning, Vocabulary vocabulary, CancellationToken cancellation)
    {
        var words = new TrainingWords();
        long every = HeldOutEvery(learning);
        await CorpusReader.ReadAsync(
            job,
            store,
            learning.Sources,
            (_, documents) => words.Add(TrainingWords.Of([.. documents.Where(d => d.Number % every != 0).SelectMany(d => d.Texts)], cancellation)),
            cancellation).ConfigureAwait(false);
        var options = new PieceLearningOptions
        {
            Count = learning.Count,
            MinimumFrequency = learning.MinimumFrequency == 0 ? DefaultFrequency : learning.MinimumFrequency,
            CharacterCoverage = learning.CharacterCoverage == 0 ? DefaultCoverage : learning.CharacterCoverage,
            Scripts = ScriptsOf(spec),
        };
        job.Report("learning pieces", 0, learning.Count, "pieces");
        IReadOnlyList<string> pieces = PieceLearner.Learn(vocabulary, words, options, (done, total) => job.Report("learning pieces", done, total, "pieces"), cancellation);
        if (pieces.Count < learning.Count)
            job.Log(LogLine.Types.Severity.Warning, $"The text gives {pieces.Count} pieces, not {learning.Count}: no more occur {options.MinimumFrequency} times.");
        return pieces;
    }
}
