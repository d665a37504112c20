using System.Text.Json;
using Drover.Errors;
using Drover.Formats.Datasets;
using Drover.ObjectStore;
using Drover.Protocol.DataPrep.V1;

namespace Drover.DataPrep.Building;

/// <summary>Makes a dataset of the shards of a build whose tasks are all done: counts, checks the sum, writes the manifest last.</summary>
internal sealed class DatasetAssembler(IObjectStore store)
{
    /// <summary>Publishes the dataset.</summary>
    /// <exception cref="DroverException">FailedPrecondition when there is no row; Internal when tokens are unaccounted for.</exception>
    public async Task<DatasetManifest> PublishAsync(BuildPlan plan, IReadOnlyList<CompletionRecord> records, CancellationToken cancellation)
    {
        DatasetManifest manifest = Count(plan, records);
        if (manifest.TokensIn != manifest.TokensInRows + manifest.TokensRejected)
        {
            throw new DroverException(FailureCode.Internal, "TOKENS_UNACCOUNTED",
                $"'{plan.Dataset}': {manifest.TokensIn} tokens came in, {manifest.TokensInRows} are in rows and {manifest.TokensRejected} were rejected. This is a fault of Drover; nothing was published.");
        }

        if (manifest.Rows == 0)
            throw NoRows(plan, manifest, records);
        await RemoveLeftoversAsync(plan, manifest, records, cancellation).ConfigureAwait(false);
        string fingerprint = plan.SpecHash[..16];
        await store.PutTextAsync(ObjectKey.Join(plan.Dataset, HuggingFaceDatasetFiles.StateFile), HuggingFaceDatasetFiles.State(manifest.Shards.Select(s => s.File), fingerprint), cancellation).ConfigureAwait(false);
        await store.PutTextAsync(ObjectKey.Join(plan.Dataset, HuggingFaceDatasetFiles.InfoFile), HuggingFaceDatasetFiles.Info(), cancellation).ConfigureAwait(false);
        byte[] json = JsonSerializer.SerializeToUtf8Bytes(manifest, DatasetManifestJson.Default.DatasetManifest);
        await store.PutBytesAsync(ObjectKey.Join(plan.Dataset, DatasetManifest.FileName), json, PutCondition.None, cancellation).ConfigureAwait(false);
        return manifest;
    }

    /// <summary>Why lines were rejected, for people: "MALFORMED_JSON 3, EMPTY_TEXT 1"; empty when none were.</summary>
    public static string Reasons(IReadOnlyList<CompletionRecord> records) =>
        string.Join(", ", records.SelectMany(r => r.Rejects).GroupBy(r => r.Key, StringComparer.Ordinal)
            .Select(g => (g.Key, Count: g.Sum(r => r.Value))).OrderByDescending(r => r.Count).ThenBy(r => r.Key, StringComparer.Ordinal).Select(r => $"{r.Key} {r.Count}"));

    /// <summary>The counts as the API gives them.</summary>
    public static Dataset Describe(string dataset, DatasetManifest manifest, string manifestHash)
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
            Fill = manifest.Rows == 0 ? 0 : (double)manifest.TokensInRows / ((double)manifest.Rows * manifest.MaxLength),
            ManifestHash = manifestHash,
            Rejects = manifest.LinesRejected > 0 || manifest.TokensRejected > 0 ? ObjectKey.Join(dataset, "rejects") : "",
        };
        described.TokensByCategory.Add(manifest.TokensByCategory);
        return described;
    }

    private static DatasetManifest Count(BuildPlan plan, IReadOnlyList<CompletionRecord> records)
    {
        var categories = new SortedDictionary<string, long>(StringComparer.Ordinal);
        foreach ((string category, long tokens) in records.SelectMany(r => r.TokensByCategory))
            categories[category] = categories.GetValueOrDefault(category) + tokens;
        return new DatasetManifest
        {
            Format = plan.Format,
            Tokenizer = plan.Tokenizer,
            TokenizerHash = plan.TokenizerHash,
            VocabularySize = plan.VocabularySize,
            SpecHash = plan.SpecHash,
            MaxLength = plan.MaxLength,
            Rows = records.Sum(r => r.Shard.Rows),
            Documents = records.Sum(r => r.Documents),
            TokensIn = records.Sum(r => r.TokensIn),
            TokensInRows = records.Sum(r => r.TokensInRows),
            TokensRejected = records.Sum(r => r.TokensRejected),
            LabelTokens = records.Sum(r => r.LabelTokens),
            LinesIn = records.Sum(r => r.LinesIn),
            LinesRejected = records.Sum(r => r.LinesRejected),
            TextBytes = records.Sum(r => r.TextBytes),
            TokensByCategory = categories,
            Sources = plan.Sources,
            Shards = [.. records.Select(r => r.Shard)],
        };
    }

    private static DroverException NoRows(BuildPlan plan, DatasetManifest manifest, IReadOnlyList<CompletionRecord> records)
    {
        string why = manifest.LinesIn == 0
            ? "its sources hold no line"
            : $"all {manifest.LinesIn} lines were rejected ({Reasons(records)}); see '{ObjectKey.Join(plan.Dataset, "rejects")}' for each";
        return new DroverException(FailureCode.FailedPrecondition, "NO_ROWS", $"'{plan.Dataset}' would have no row: {why}.");
    }

    // What an earlier build under this name left behind without finishing.
    private async Task RemoveLeftoversAsync(BuildPlan plan, DatasetManifest manifest, IReadOnlyList<CompletionRecord> records, CancellationToken cancellation)
    {
        HashSet<string> ours = [
            .. manifest.Shards.Select(s => ObjectKey.Join(plan.Dataset, s.File)),
            .. records.Where(r => r.Rejects.Count > 0).Select(r => BuildTask.RejectsKey(plan, r.Task))];
        var others = new List<string>();
        await foreach (ObjectInfo info in store.ListAsync(plan.Dataset + "/", cancellation).ConfigureAwait(false))
        {
            if (!ours.Contains(info.Key))
                others.Add(info.Key);
        }

        foreach (string key in others)
            await store.DeleteAsync(key, cancellation).ConfigureAwait(false);
    }
}
