using System.Text.Json;
using Drover.Formats.Datasets;
using Drover.ObjectStore;

namespace Drover.DataPrep.Building;

/// <summary>Written last by whoever did a task; the only truth about whether it is done. Names no worker and no time.</summary>
internal sealed record CompletionRecord
{
    /// <summary>Of the plan that the task belongs to.</summary>
    public required string SpecHash { get; init; }

    public required int Task { get; init; }

    public required DatasetShard Shard { get; init; }

    public required long Documents { get; init; }

    public required long TokensIn { get; init; }

    public required long TokensInRows { get; init; }

    public required long TokensRejected { get; init; }

    public required long LabelTokens { get; init; }

    public required long LinesIn { get; init; }

    public required long LinesRejected { get; init; }

    public required long TextBytes { get; init; }

    public required SortedDictionary<string, long> TokensByCategory { get; init; }

    /// <summary>Entries of the rejects file by reason.</summary>
    public required SortedDictionary<string, long> Rejects { get; init; }

    /// <summary>The record of a task, or null when it is not done: no record, another plan's, or its shard is not there as said.</summary>
    public static async Task<CompletionRecord?> FindAsync(IObjectStore store, BuildPlan plan, int task, CancellationToken cancellation)
    {
        string key = BuildKeys.Of(plan).Record(task);
        if (await store.FindAsync(key, cancellation).ConfigureAwait(false) is null)
            return null;
        CompletionRecord? record;
        try
        {
            record = JsonSerializer.Deserialize(await store.ReadAllBytesAsync(key, cancellation).ConfigureAwait(false), BuildJson.Default.CompletionRecord);
        }
        catch (JsonException)
        {
            return null;
        }

        if (record is null || record.SpecHash != plan.SpecHash || record.Task != task)
            return null;
        ObjectInfo? shard = await store.FindAsync(ObjectKey.Join(plan.Dataset, record.Shard.File), cancellation).ConfigureAwait(false);
        return shard?.Size == record.Shard.Bytes ? record : null;
    }
}
