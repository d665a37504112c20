using System.Text.Json;
using System.Text.Json.Nodes;
using Drover.Errors;
using Drover.Formats.Datasets;
using Drover.ObjectStore;

namespace Drover.Trainer.Worker;

/// <summary>
/// Where a row of a dataset comes from, for messages: its shard by the manifest, and, where the plan of the build is still in the object store,
/// the source file and the lines that the shard's task read. Packing puts documents of all of them into a row: nearer it is not known.
/// </summary>
internal sealed class RowPlaces(IObjectStore store, string prefix, DatasetManifest manifest)
{
    private JsonNode? _plan;

    /// <summary>The place of a row in words; null for a row that is not there.</summary>
    public string? Of(long row)
    {
        for (int i = 0; i < manifest.Shards.Count; row -= manifest.Shards[i++].Rows)
        {
            if (row < manifest.Shards[i].Rows)
                return string.Join(", ", new[] { $"row {row} of '{ObjectKey.Join(prefix, manifest.Shards[i].File)}'", SourceOf(i) }.OfType<string>());
        }

        return null;
    }

    // Task i of the plan wrote shard i.
    private string? SourceOf(int shard)
    {
        try
        {
            _plan ??= ReadPlan() ?? new JsonObject();
            if (_plan["tasks"]?.AsArray() is not { } tasks || tasks.Count != manifest.Shards.Count)
                return null;
            int source = tasks[shard]!["source"]!.GetValue<int>();
            long first = tasks[shard]!["first_line"]!.GetValue<long>();
            JsonNode? next = shard + 1 < tasks.Count && tasks[shard + 1]!["source"]!.GetValue<int>() == source ? tasks[shard + 1] : null;
            string lines = next is null ? $"from line {first}" : $"lines {first} to {next["first_line"]!.GetValue<long>() - 1}";
            return $"{lines} of '{_plan["sources"]![source]!["key"]!.GetValue<string>()}'";
        }
        catch (Exception e) when (e is DroverException or JsonException or InvalidOperationException or FormatException or NullReferenceException or ArgumentOutOfRangeException)
        {
            // It is a help, and of another room: a row is named by its shard then.
            return null;
        }
    }

    // On the step's own thread: a message about it is due, and the run waits.
    private JsonNode? ReadPlan()
    {
        if (manifest.SpecHash.Length < 16 || !prefix.StartsWith("datasets/", StringComparison.Ordinal))
            return null;
        string key = ObjectKey.Join("builds", prefix["datasets/".Length..], manifest.SpecHash[..16], "plan.json");
        return store.FindAsync(key, CancellationToken.None).AsTask().GetAwaiter().GetResult() is null
            ? null
            : JsonNode.Parse(store.ReadAllBytesAsync(key, CancellationToken.None).AsTask().GetAwaiter().GetResult());
    }
}
