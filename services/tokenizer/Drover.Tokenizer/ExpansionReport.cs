using Drover.Jobs;
using Drover.ObjectStore;
using Drover.Protocol.Tokenizer.V1;
using Drover.Tokenization;
using Drover.Tokenization.Reports;

namespace Drover.Tokenizer;

/// <summary>Counts the tokens of held-out documents and of a spec's report sources, and writes report.json and report.svg.</summary>
internal sealed class ExpansionReport(IObjectStore store)
{
    private const string HeldOut = "held out";

    public async Task WriteAsync(JobContext job, ExpansionSpec spec, Vocabulary before, Vocabulary after, ExpansionResult result, CancellationToken cancellation)
    {
        if (spec.Learning is null && spec.ReportSources.Count == 0)
            return;
        var report = new FertilityReport(TokenizerFolder.Create(before), TokenizerFolder.Create(after), result.NewParameters);
        if (spec.Learning is { } learning)
        {
            long every = PieceSource.HeldOutEvery(learning);
            await CountAsync(job, report, learning.Sources, HeldOut, d => d.Number % every == 0, cancellation).ConfigureAwait(false);
        }

        if (spec.ReportSources.Count > 0)
            await CountAsync(job, report, spec.ReportSources, null, _ => true, cancellation).ConfigureAwait(false);
        result.ReportFolder = ObjectKey.Join(result.Tokenizer, "report");
        await store.PutTextAsync(ObjectKey.Join(result.ReportFolder, "report.json"), report.ToJson(), cancellation).ConfigureAwait(false);
        await store.PutTextAsync(ObjectKey.Join(result.ReportFolder, "report.svg"), FertilityPlot.Svg(report.Rows), cancellation).ConfigureAwait(false);
        result.Report.AddRange(report.Rows.Select(row => new Protocol.Tokenizer.V1.FertilityRow
        {
            Source = row.Source,
            Language = row.Language,
            Documents = row.Documents,
            Characters = row.Characters,
            Words = row.Words,
            Utf8Bytes = row.Utf8Bytes,
            TokensBefore = row.TokensBefore,
            TokensAfter = row.TokensAfter,
        }));
    }

    private Task CountAsync(JobContext job, FertilityReport report, IEnumerable<string> sources, string? name, Func<CorpusDocument, bool> counted, CancellationToken cancellation) =>
        CorpusReader.ReadAsync(
            job,
            store,
            sources,
            (file, documents) =>
            {
                foreach (string text in documents.Where(counted).SelectMany(d => d.Texts))
                    report.Add(name ?? file, text);
            },
            cancellation);
}
