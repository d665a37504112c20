using System.Text.Json;
using Drover.Errors;
using Drover.Formats.Datasets;
using Drover.ObjectStore;
using Drover.Protocol.DataPrep.V1;

namespace Drover.DataPrep.Building;

/// <summary>Makes a dataset of the shards of a build whose tasks are all done: counts, checks the sums, publishes the manifest.</summary>
internal sealed class DatasetAssembler(IObjectStore store)
{
    /// <summary>Publishes the dataset.</summary>
    /// <param name="plan">The build.</param>
    /// <param name="records">Of all its tasks.</param>
    /// <param name="signatures">Files that tell duplicates, of this build's tasks.</param>
    /// <param name="cancellation">Ends the work.</param>
    /// <exception cref="DroverException">FailedPrecondition when there is no row; Internal when tokens are unaccounted for; AlreadyExists when another dataset took the name.</exception>
    public async Task<DatasetManifest> PublishAsync(BuildPlan plan, IReadOnlyList<CompletionRecord> records, IReadOnlyList<string> signatures, CancellationToken cancellation)
    {
        DatasetManifest? old = await CopyBaseAsync(plan, cancellation).ConfigureAwait(false);
        DatasetManifest manifest = Describe(plan, records, signatures, old);
        RequireBalance(plan, manifest);
        if (manifest.Rows == 0)
            throw NoRows(plan, manifest);
        byte[] json = JsonSerializer.SerializeToUtf8Bytes(manifest, DatasetManifestJson.Default.DatasetManifest);
        string key = ObjectKey.Join(plan.Dataset, DatasetManifest.FileName);
        try
        {
            await store.PutBytesAsync(key, json, PutCondition.IfAbsent, cancellation).ConfigureAwait(false);
        }
        catch (DroverException e) when (e.Code is FailureCode.AlreadyExists or FailureCode.Aborted)
        {
            if (!(await store.ReadAllBytesAsync(key, cancellation).ConfigureAwait(false)).AsSpan().SequenceEqual(json))
                throw DatasetExists(plan.Dataset, e);
        }

        await TidyAsync(plan, manifest, records, cancellation).ConfigureAwait(false);
        return manifest;
    }

    /// <summary>
    /// What follows from a manifest that stands: the files for Hugging Face's reader, and nothing that an earlier build under the name left
    /// behind. Done again, it changes nothing; so a build that died between the manifest and this is mended by the next one.
    /// </summary>
    public async Task TidyAsync(BuildPlan plan, DatasetManifest manifest, IReadOnlyList<CompletionRecord> records, CancellationToken cancellation)
    {
        (string, string)[] files = [
            (HuggingFaceDatasetFiles.StateFile, HuggingFaceDatasetFiles.State(manifest.Shards.Select(s => s.File), plan.SpecHash[..16])),
            (HuggingFaceDatasetFiles.InfoFile, HuggingFaceDatasetFiles.Info())];
        foreach ((string name, string text) in files)
        {
            string key = ObjectKey.Join(plan.Dataset, name);
            if (await store.FindAsync(key, cancellation).ConfigureAwait(false) is null || await store.ReadTextAsync(key, cancellation).ConfigureAwait(false) != text)
                await store.PutTextAsync(key, text, cancellation).ConfigureAwait(false);
        }

        if (records.Count == 0)
            return;
        HashSet<string> ours = [
            .. manifest.Shards.Select(s => s.File), .. manifest.Signatures, .. records.SelectMany(r => r.Files()).Select(f => f.File),
            HuggingFaceDatasetFiles.StateFile, HuggingFaceDatasetFiles.InfoFile, DatasetManifest.FileName];
        var others = new List<string>();
        await foreach (ObjectInfo info in store.ListAsync(plan.Dataset + "/", cancellation).ConfigureAwait(false))
        {
            string file = info.Key[(plan.Dataset.Length + 1)..];
            // Rejects of the dataset that is extended are listed nowhere, but numbered below ours.
            bool isOfBase = plan.FirstTask > 0 && file.StartsWith("rejects/rejects-", StringComparison.Ordinal) && string.CompareOrdinal(file, $"rejects/rejects-{plan.FirstTask:d5}") < 0;
            if (!ours.Contains(file) && !isOfBase)
                others.Add(info.Key);
        }

        foreach (string key in others)
            await store.DeleteAsync(key, cancellation).ConfigureAwait(false);
    }

    /// <summary>The failure for a name that another dataset has.</summary>
    public static DroverException DatasetExists(string dataset, Exception? inner = null) => new(FailureCode.AlreadyExists, "DATASET_EXISTS",
        $"There is a dataset '{dataset}' already, of another spec, tokenizer or sources. Choose another name, or one that extends it; a dataset never changes, because runs point to it.", inner);

    /// <summary>Why records were rejected, for people: "MALFORMED_JSON 3, EMPTY_TEXT 1"; empty when none were.</summary>
    public static string Reasons(IEnumerable<KeyValuePair<string, RejectTotals>> rejects) =>
        string.Join(", ", rejects.OrderByDescending(r => r.Value.Entries).ThenBy(r => r.Key, StringComparer.Ordinal).Select(r => $"{r.Key} {r.Value.Entries}"));

    private async Task<DatasetManifest?> CopyBaseAsync(BuildPlan plan, CancellationToken cancellation)
    {
        if (plan.Extends is null)
            return null;
        (DatasetManifest old, string hash) = await PackedDataset.ReadManifestAsync(store, plan.Extends.Dataset, cancellation).ConfigureAwait(false);
        if (hash != plan.Extends.ManifestHash)
            throw new DroverException(FailureCode.FailedPrecondition, "BASE_CHANGED", $"'{plan.Extends.Dataset}' was replaced while '{plan.Dataset}' was being built from it. Build it again.");
        var files = new List<ObjectInfo>();
        string[] folders = [.. old.Shards.Select(s => s.File), .. old.Signatures, "rejects/"];
        foreach (string prefix in folders)
        {
            await foreach (ObjectInfo info in store.ListAsync(ObjectKey.Join(plan.Extends.Dataset, prefix) + (prefix.EndsWith('/') ? "/" : ""), cancellation).ConfigureAwait(false))
                files.Add(info);
        }

        foreach (ObjectInfo file in files)
        {
            string key = plan.Dataset + file.Key[plan.Extends.Dataset.Length..];
            if ((await store.FindAsync(key, cancellation).ConfigureAwait(false))?.Size == file.Size)
                continue;
            Stream content = await store.OpenReadAsync(file.Key, 0, null, cancellation).ConfigureAwait(false);
            await using (content.ConfigureAwait(false))
                await store.PutAsync(key, content, PutCondition.None, cancellation).ConfigureAwait(false);
        }

        return old;
    }

    private static DatasetManifest Describe(BuildPlan plan, IReadOnlyList<CompletionRecord> records, IReadOnlyList<string> signatures, DatasetManifest? old)
    {
        TaskCounts counts = old is null ? new TaskCounts() : TaskCounts.Of(old);
        foreach (CompletionRecord record in records)
            counts.Add(record.Counts);
        CategoryTotals totals = counts.Totals();
        DatasetShard[] shards = [.. old?.Shards ?? [], .. records.SelectMany(r => r.Shards)];
        return new DatasetManifest
        {
            Format = plan.Settings.Format == DatasetFormat.Sft ? "sft" : "pretrain",
            Tokenizer = plan.Settings.Tokenizer,
            TokenizerHash = plan.TokenizerHash,
            VocabularySize = plan.VocabularySize,
            SpecHash = plan.SpecHash,
            Spec = plan.Spec,
            Extends = plan.Extends,
            TaskCount = plan.FirstTask + plan.Tasks.Count,
            MaxLength = plan.Settings.MaxLength,
            Rows = shards.Sum(s => s.Rows),
            Documents = totals.Documents,
            TokensIn = totals.TokensIn,
            TokensInRows = totals.TokensInRows,
            TokensRejected = totals.TokensRejected,
            LabelTokens = totals.LabelTokens,
            LinesIn = counts.LinesIn,
            LinesRejected = counts.LinesRejected,
            TextBytes = counts.TextBytes,
            Categories = counts.Categories,
            Rejects = counts.Rejects,
            Languages = counts.Languages,
            DocumentTokens = counts.DocumentTokens,
            RowTokens = counts.RowTokens,
            Sources = [.. old?.Sources ?? [], .. plan.Sources],
            Shards = shards,
            Signatures = [.. old?.Signatures ?? [], .. signatures],
        };
    }

    private static void RequireBalance(BuildPlan plan, DatasetManifest manifest)
    {
        foreach ((string category, CategoryTotals counts) in manifest.Categories)
        {
            if (counts.TokensIn != counts.TokensInRows + counts.TokensRejected)
            {
                throw new DroverException(FailureCode.Internal, "TOKENS_UNACCOUNTED",
                    $"'{plan.Dataset}', category '{category}': {counts.TokensIn} tokens came in, {counts.TokensInRows} are in rows and {counts.TokensRejected} were rejected. This is a fault of Drover; nothing was published.");
            }
        }
    }

    private static DroverException NoRows(BuildPlan plan, DatasetManifest manifest)
    {
        string why = manifest.LinesIn == 0
            ? "its sources hold no record"
            : $"all {manifest.LinesIn} records were rejected ({Reasons(manifest.Rejects)}); see '{ObjectKey.Join(plan.Dataset, "rejects")}' for each";
        return new DroverException(FailureCode.FailedPrecondition, "NO_ROWS", $"'{plan.Dataset}' would have no row: {why}.");
    }
}
