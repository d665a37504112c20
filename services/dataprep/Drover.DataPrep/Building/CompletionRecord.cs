using System.Text.Json;
using Drover.Errors;
using Drover.Formats.Datasets;
using Drover.ObjectStore;
using Drover.Protocol.DataPrep.V1;

namespace Drover.DataPrep.Building;

/// <summary>Written last by whoever did a task; the only truth about whether it is done. Names no worker and no time.</summary>
internal sealed record CompletionRecord
{
    /// <summary>Of the plan that the task belongs to.</summary>
    public required string SpecHash { get; init; }

    public required int Task { get; init; }

    /// <summary>Objects of the dataset that the task wrote, rows first; file names are relative to the dataset.</summary>
    public required IReadOnlyList<DatasetShard> Shards { get; init; }

    /// <summary>The rejects file, or null when nothing was rejected.</summary>
    public WrittenFile? Rejects { get; init; }

    /// <summary>Of the phase that looks for duplicates: the file that tells them.</summary>
    public WrittenFile? Signatures { get; init; }

    public required TaskCounts Counts { get; init; }

    /// <summary>The record of a task, or null when it is not done: no record, another plan's, or what it wrote is not there as said.</summary>
    public static async Task<CompletionRecord?> FindAsync(IObjectStore store, BuildPlan plan, TaskPhase phase, int task, CancellationToken cancellation)
    {
        string key = BuildKeys.Of(plan).Record(phase, task);
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
        foreach (WrittenFile file in record.Files())
        {
            if ((await store.FindAsync(ObjectKey.Join(plan.Dataset, file.File), cancellation).ConfigureAwait(false))?.Size != file.Bytes)
                return null;
        }

        return record;
    }

    /// <summary>Writes the record. Another worker may have done so before: then theirs stays, and says the same.</summary>
    public async Task PutAsync(IObjectStore store, BuildPlan plan, TaskPhase phase, CancellationToken cancellation)
    {
        string key = BuildKeys.Of(plan).Record(phase, Task);
        byte[] json = JsonSerializer.SerializeToUtf8Bytes(this, BuildJson.Default.CompletionRecord);
        try
        {
            await store.PutBytesAsync(key, json, PutCondition.IfAbsent, cancellation).ConfigureAwait(false);
        }
        catch (DroverException e) when (e.Code is FailureCode.AlreadyExists or FailureCode.Aborted)
        {
            // A record whose files are gone was no record, or this would not have been done.
            if (await FindAsync(store, plan, phase, Task, cancellation).ConfigureAwait(false) is null)
                await store.PutBytesAsync(key, json, PutCondition.None, cancellation).ConfigureAwait(false);
        }
    }

    /// <summary>Everything that the task wrote into the dataset.</summary>
    public IEnumerable<WrittenFile> Files() =>
        [.. Shards.Select(s => new WrittenFile(s.File, s.Bytes)), .. new[] { Rejects, Signatures }.OfType<WrittenFile>()];
}

/// <summary>An object that a task wrote.</summary>
/// <param name="File">Relative to the dataset.</param>
/// <param name="Bytes">Its size.</param>
internal sealed record WrittenFile(string File, long Bytes);
