using Drover.Jobs;
using Drover.ObjectStore;
using Drover.Protocol.Tokenizer.V1;
using Drover.Tokenization;
using Drover.Tokenization.Training;

namespace Drover.Tokenizer;

/// <summary>Learns a vocabulary from JSONL. The same sources give the same files, so a second attempt only writes them again.</summary>
internal sealed class TokenizerTrainingExecutor(IObjectStore store) : JobExecutor<TokenizerTrainingSpec, TokenizerTrainingResult>
{
    public const string JobKind = "tokenizer-training";

    private const double DefaultCoverage = 0.9995;

    public override string Kind => JobKind;

    public override async Task<TokenizerTrainingResult> RunAsync(JobContext job, TokenizerTrainingSpec spec, CancellationToken cancellation)
    {
        TrainingWords words = await ReadAsync(job, spec, cancellation).ConfigureAwait(false);
        double coverage = spec.CharacterCoverage == 0 ? DefaultCoverage : spec.CharacterCoverage;
        Vocabulary vocabulary = BpeTrainer.Train(words, spec.VocabularySize, coverage, (done, total) => job.Report("learning merges", done, total, "merges"), cancellation);
        string prefix = ObjectKey.Join("tokenizers", spec.Name);
        await TokenizerFiles.WriteAsync(store, prefix, vocabulary, null, cancellation).ConfigureAwait(false);
        return new TokenizerTrainingResult { Tokenizer = prefix, Info = TokenizerInfos.Of(TokenizerFolder.Create(vocabulary)) };
    }

    private async Task<TrainingWords> ReadAsync(JobContext job, TokenizerTrainingSpec spec, CancellationToken cancellation)
    {
        var words = new TrainingWords();
        await CorpusReader.ReadAsync(job, store, spec.Sources, (_, documents) => words.Add(TrainingWords.Of([.. documents.SelectMany(d => d.Texts)], cancellation)), cancellation).ConfigureAwait(false);
        return words;
    }
}
