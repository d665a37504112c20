using System.Text;
using Drover.Errors;
using Drover.Jobs;
using Drover.ObjectStore;
using Drover.Protocol.Common.V1;
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
        var files = new List<ObjectInfo>();
        foreach (string source in spec.Sources)
            files.AddRange(await CorpusReader.FilesOfAsync(store, source, cancellation).ConfigureAwait(false));
        var words = new TrainingWords();
        long total = files.Sum(f => f.Size);
        long done = 0;
        long documents = 0;
        foreach (ObjectInfo file in files)
        {
            long bad = 0;
            Stream stream = await store.OpenReadAsync(file.Key, 0, null, cancellation).ConfigureAwait(false);
            using var reader = new StreamReader(stream, Encoding.UTF8);
            while (await reader.ReadLineAsync(cancellation).ConfigureAwait(false) is { } line)
            {
                done += Encoding.UTF8.GetByteCount(line) + 1;
                if (string.IsNullOrWhiteSpace(line))
                    continue;
                IReadOnlyList<string>? texts = CorpusReader.TextsOf(line);
                foreach (string text in texts ?? [])
                    words.Add(text);
                bad += texts is null ? 1 : 0;
                documents += texts is null ? 0 : 1;
                job.Report("reading", Math.Min(done, total), total, "bytes");
            }

            if (bad > 0)
                job.Log(LogLine.Types.Severity.Warning, $"{bad} lines of '{file.Key}' hold no text (\"text\", \"source\" and \"target\", or \"messages\") and were left out.");
        }

        return documents > 0
            ? words
            : throw new DroverException(FailureCode.FailedPrecondition, "NO_TEXT", $"No line of {string.Join(", ", files.Select(f => $"'{f.Key}'"))} holds text: expected JSONL with \"text\", \"source\" and \"target\", or \"messages\".");
    }
}
