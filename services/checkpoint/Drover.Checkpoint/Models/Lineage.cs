using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Drover.Checkpoint.Checkpoints;
using Drover.Checkpoint.Exports;
using Drover.Checkpoint.Imports;
using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.Formats.Datasets;
using Drover.Formats.Weights;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;

namespace Drover.Checkpoint.Models;

/// <summary>
/// Where things come from, as what comes of them wrote it down: a model's drover.json, a checkpoint's manifest, a dataset's manifest. Each
/// is held against what lies there now, by content hash.
/// </summary>
internal sealed class Lineage(IObjectStore store, CheckpointCatalog checkpoints)
{
    /// <summary>What was asked for, and everything that it comes from.</summary>
    /// <exception cref="DroverException">InvalidArgument; NotFound.</exception>
    public async Task<IReadOnlyList<LineageEntry>> OfAsync(string name, CancellationToken cancellation)
    {
        if (name.Length == 0)
            throw new DroverException(FailureCode.InvalidArgument, "NAME_MISSING", "name is empty; name a model (models/...), a checkpoint or run (runs/...), or a dataset (datasets/...).");
        if (name.Split('/') is ["runs", var run])
            name = (await checkpoints.GetLatestAsync(run, verify: false, cancellation).ConfigureAwait(false)).Checkpoint.Name;
        var entries = new List<LineageEntry>();
        await AddAsync(entries, name, "", cancellation).ConfigureAwait(false);
        if (entries[0].State == LineageState.Missing)
            throw new DroverException(FailureCode.NotFound, "NOT_FOUND", $"There is no '{name}'. Name a model (models/...), a checkpoint or run (runs/...), or a dataset (datasets/...).");
        return entries;
    }

    private async Task AddAsync(List<LineageEntry> entries, string name, string hash, CancellationToken cancellation)
    {
        if (name.Length == 0 || entries.Any(e => e.Name == name))
            return;
        ObjectKey.Check(name);
        LineageEntry entry = new() { Name = name, Hash = hash };
        entries.Add(entry);
        List<(string Name, string Hash)> from = [];
        try
        {
            if (CheckpointName.Find(name) is not null || RunKeys.IsBest(name))
                from = await OfCheckpointAsync(entry, cancellation).ConfigureAwait(false);
            else if (name.StartsWith("models/", StringComparison.Ordinal))
                from = await OfModelAsync(entry, cancellation).ConfigureAwait(false);
            else if (name.StartsWith("datasets/", StringComparison.Ordinal))
                from = await OfDatasetAsync(entry, cancellation).ConfigureAwait(false);
            else
                await OfFilesAsync(entry, cancellation).ConfigureAwait(false);
        }
        catch (DroverException e) when (e.Code is FailureCode.NotFound or FailureCode.DataLoss)
        {
            entry.State = e.Code == FailureCode.NotFound ? LineageState.Missing : LineageState.Changed;
            entry.Detail = e.Message;
        }

        from.RemoveAll(f => f.Name.Length == 0);
        entry.From.Add(from.Select(f => f.Name).Distinct());
        foreach ((string next, string its) in from)
            await AddAsync(entries, next, its, cancellation).ConfigureAwait(false);
    }

    private async Task<List<(string, string)>> OfModelAsync(LineageEntry entry, CancellationToken cancellation)
    {
        entry.Kind = "model";
        // What refers to a model wrote down the hash of its weights.
        string now = entry.Hash.Length > 0 ? await FileDigests.HashOfWeightsAsync(store, entry.Name, cancellation).ConfigureAwait(false) : "";
        string key = ObjectKey.Join(entry.Name, ExportLineage.FileName);
        bool isThere = await store.FindAsync(ObjectKey.Join(entry.Name, "config.json"), cancellation).ConfigureAwait(false) is not null
            || await store.FindAsync(ObjectKey.Join(entry.Name, "adapter_config.json"), cancellation).ConfigureAwait(false) is not null;
        SetState(entry, isThere ? now : null);
        if (await store.FindAsync(key, cancellation).ConfigureAwait(false) is null)
        {
            string import = ObjectKey.Join(entry.Name, ImportOrigin.FileName);
            entry.Detail = await store.FindAsync(import, cancellation).ConfigureAwait(false) is not null && ImportOrigin.Parse(await store.ReadAllBytesAsync(import, cancellation).ConfigureAwait(false)) is { } origin
                ? $"imported from {origin}, commit {origin.Commit}"
                : "not made by an export";
            return [];
        }

        JsonNode? lineage = Parse(await store.ReadTextAsync(key, cancellation).ConfigureAwait(false));
        string Text(string name) => lineage?[name]?.GetValueKind() == JsonValueKind.String ? lineage[name]!.GetValue<string>() : "";
        entry.Detail = $"{Text("data_type")}{(Text("form").Length > 0 ? $", {Text("form")}" : "")}";
        return [(Text("checkpoint"), Text("manifest_hash")), (Text("tokenizer"), Text("tokenizer_files_hash"))];
    }

    private async Task<List<(string, string)>> OfCheckpointAsync(LineageEntry entry, CancellationToken cancellation)
    {
        entry.Kind = "checkpoint";
        CheckpointReader checkpoint = await CheckpointReader.OpenAsync(store, entry.Name, cancellation).ConfigureAwait(false);
        CheckpointManifest manifest = checkpoint.Manifest;
        SetState(entry, checkpoint.ManifestHash);
        entry.Hash = entry.Hash.Length > 0 ? entry.Hash : checkpoint.ManifestHash;
        entry.Detail = string.Create(CultureInfo.InvariantCulture, $"step {manifest.Step}, {manifest.TokensSeen:N0} tokens, loss {manifest.Loss:F4}");
        JsonNode? spec = Parse(manifest.RunSpec);
        string Text(string name) => spec?[name]?.GetValueKind() == JsonValueKind.String ? spec[name]!.GetValue<string>() : "";
        string start = Text("baseModel") is { Length: > 0 } model ? model : Text("checkpoint");
        List<(string, string)> from = [(manifest.Base?.Model ?? start, manifest.Base?.Hash ?? "")];
        if (spec?["mixture"] is JsonArray mixture)
            from.AddRange(mixture.Select(p => (p?["dataset"]?.GetValue<string>() ?? "", "")));
        else
            from.Add((manifest.Dataset, manifest.DatasetHash));
        from.Add((Text("tokenizer"), manifest.TokenizerHash));
        return from;
    }

    private async Task<List<(string, string)>> OfDatasetAsync(LineageEntry entry, CancellationToken cancellation)
    {
        entry.Kind = "dataset";
        (DatasetManifest manifest, string hash) = await PackedDataset.ReadManifestAsync(store, entry.Name, cancellation).ConfigureAwait(false);
        SetState(entry, hash);
        entry.Hash = entry.Hash.Length > 0 ? entry.Hash : hash;
        entry.Detail = string.Create(CultureInfo.InvariantCulture, $"{manifest.Rows:N0} rows, {manifest.TokensInRows:N0} tokens");
        return [(manifest.Tokenizer, manifest.TokenizerHash), .. manifest.Sources.Select(s => (s.Key, ""))];
    }

    // A tokenizer's folder or an input: that it is there is all that can be told without reading it whole.
    private async Task OfFilesAsync(LineageEntry entry, CancellationToken cancellation)
    {
        entry.Kind = entry.Name.StartsWith("tokenizers/", StringComparison.Ordinal) ? "tokenizer" : "input";
        entry.State = await store.FindAsync(entry.Name, cancellation).ConfigureAwait(false) is not null ? LineageState.Unspecified : LineageState.Missing;
        await foreach (ObjectInfo _ in store.ListAsync(entry.Name + "/", cancellation).ConfigureAwait(false))
        {
            entry.State = LineageState.Unspecified;
            break;
        }
    }

    private static void SetState(LineageEntry entry, string? now) => entry.State = now is null
        ? LineageState.Missing
        : entry.Hash.Length == 0 || now == entry.Hash ? LineageState.Present : LineageState.Changed;

    private static JsonNode? Parse(string json)
    {
        try
        {
            return JsonNode.Parse(json) as JsonObject;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
