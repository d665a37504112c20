using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.ObjectStore;
using Drover.Protocol.Trainer.V1;
using Google.Protobuf;

namespace Drover.Checkpoint.Checkpoints;

/// <summary>
/// Which models and checkpoints runs need that lie elsewhere: what a run was started from (it may have to begin again), and the base that
/// its checkpoints name for weights that they do not hold. A run's base never changes, so its newest checkpoint tells.
/// </summary>
internal static class CheckpointReferences
{
    private static readonly JsonParser Specs = new(JsonParser.Settings.Default.WithIgnoreUnknownFields(true));

    /// <summary>Runs by what they refer to.</summary>
    public static async Task<ILookup<string, string>> FindAsync(IObjectStore store, CancellationToken cancellation)
    {
        var found = new List<(string To, string Run)>();
        var newest = new Dictionary<string, CheckpointName>(StringComparer.Ordinal);
        await foreach (ObjectInfo info in store.ListAsync("runs/", cancellation).ConfigureAwait(false))
        {
            string[] parts = info.Key.Split('/');
            if (parts is ["runs", var run, "spec.json"])
                found.AddRange((await OfSpecAsync(store, info.Key, cancellation).ConfigureAwait(false)).Select(to => (to, run)));
            if (parts[^1] == CheckpointManifest.FileName && CheckpointName.Find(string.Join('/', parts[..^1])) is { } name && (!newest.TryGetValue(name.Run, out CheckpointName? last) || name.Step > last.Step))
                newest[name.Run] = name;
        }

        foreach (CheckpointName name in newest.Values)
        {
            try
            {
                if ((await CheckpointReader.OpenAsync(store, name.Prefix, cancellation).ConfigureAwait(false)).Manifest.Base is { } reference)
                    found.Add((reference.Model, name.Run));
            }
            catch (DroverException)
            {
                // Damaged: what it referred to is in its run's spec as well.
            }
        }

        return found.Distinct().ToLookup(f => f.To, f => f.Run, StringComparer.Ordinal);
    }

    /// <summary>What runs' specs name as their start, by content.</summary>
    private static async Task<string[]> OfSpecAsync(IObjectStore store, string key, CancellationToken cancellation)
    {
        try
        {
            TrainingSpec spec = Specs.Parse<TrainingSpec>(await store.ReadTextAsync(key, cancellation).ConfigureAwait(false));
            return [.. ((string[])[spec.BaseModel, spec.Checkpoint, spec.Lora?.Adapter ?? ""]).Where(r => r.Length > 0)];
        }
        catch (Exception e) when (e is DroverException or InvalidProtocolBufferException or InvalidJsonException)
        {
            return [];
        }
    }
}
