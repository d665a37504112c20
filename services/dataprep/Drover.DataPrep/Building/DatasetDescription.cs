using Drover.Formats.Datasets;
using Drover.ObjectStore;
using Drover.Protocol.DataPrep.V1;

namespace Drover.DataPrep.Building;

/// <summary>A manifest as the API gives it.</summary>
internal static class DatasetDescription
{
    /// <summary>Describes a dataset.</summary>
    public static Dataset Of(string dataset, DatasetManifest manifest, string manifestHash)
    {
        var described = new Dataset
        {
            Dataset_ = dataset,
            Rows = manifest.Rows,
            Documents = manifest.Documents,
            TokensIn = manifest.TokensIn,
            TokensInRows = manifest.TokensInRows,
            TokensRejected = manifest.TokensRejected,
            LabelTokens = manifest.LabelTokens,
            LinesIn = manifest.LinesIn,
            LinesRejected = manifest.LinesRejected,
            TextBytes = manifest.TextBytes,
            Fill = manifest.Rows == 0 ? 0 : manifest.TokensInRows / ((double)manifest.Rows * manifest.MaxLength),
            ManifestHash = manifestHash,
            Rejects = manifest.Rejects.Count > 0 ? ObjectKey.Join(dataset, "rejects") : "",
            DocumentTokens = Trimmed([.. manifest.DocumentTokens], i => 1L << i),
            RowTokens = Trimmed([.. manifest.RowTokens], i => (i + 1L) * manifest.MaxLength / TaskCounts.RowBuckets),
            MaxLength = manifest.MaxLength,
            Tokenizer = manifest.Tokenizer,
            SpecHash = manifest.SpecHash,
        };
        foreach ((string category, CategoryTotals counts) in manifest.Categories)
        {
            described.TokensByCategory[category] = counts.TokensInRows;
            described.Categories[category] = new CategoryCounts { Documents = counts.Documents, TokensIn = counts.TokensIn, TokensInRows = counts.TokensInRows, TokensRejected = counts.TokensRejected, LabelTokens = counts.LabelTokens };
        }

        foreach ((string reason, RejectTotals counts) in manifest.Rejects)
            described.RejectsByReason[reason] = new RejectCounts { Entries = counts.Entries, Tokens = counts.Tokens };
        described.Languages.Add(manifest.Languages);
        described.Sources.Add(manifest.Sources.Select(s => new DatasetInput { Key = s.Key, Bytes = s.Bytes, Sha256 = s.Sha256 }));
        return described;
    }

    // Without the empty buckets behind the last.
    private static Histogram Trimmed(long[] counts, Func<int, long> upper)
    {
        int last = Array.FindLastIndex(counts, c => c > 0);
        var histogram = new Histogram();
        histogram.Counts.Add(counts[..(last + 1)]);
        histogram.Upper.Add(Enumerable.Range(0, last + 1).Select(upper));
        return histogram;
    }
}
