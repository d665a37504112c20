using System.Text.Json;
using Drover.Errors;
using Drover.ObjectStore;

namespace Drover.Formats.Checkpoints;

/// <summary>The pointer "best.json" of a run: which of its published checkpoints did best on held-out data.</summary>
/// <param name="Checkpoint">"runs/&lt;run&gt;/checkpoints/step-00001000".</param>
/// <param name="Step">Its step.</param>
/// <param name="ManifestHash">Its identity.</param>
/// <param name="Measure">See <see cref="HeldOutState"/>.</param>
/// <param name="Loss">Nats per labelled token by that measure.</param>
public sealed record BestCheckpoint(string Checkpoint, long Step, string ManifestHash, string Measure, double Loss)
{
    /// <summary>Reads what a name stands for.</summary>
    /// <param name="store">Where.</param>
    /// <param name="name">As of <see cref="RunKeys.Best"/>.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="DroverException">NotFound.</exception>
    public static async Task<BestCheckpoint> ReadAsync(IObjectStore store, string name, CancellationToken cancellation) =>
        await FindAsync(store, name, cancellation).ConfigureAwait(false)
            ?? throw new DroverException(FailureCode.NotFound, "CHECKPOINT_NOT_FOUND", $"No checkpoint is marked best at '{name}': the run has no held_out, or no checkpoint of an evaluation yet. Name a step, e.g. '{name[..name.LastIndexOf('/')]}/step-00001000'.");

    /// <summary>Reads what a name stands for; null for nothing, or for a pointer that nobody can read.</summary>
    public static async Task<BestCheckpoint?> FindAsync(IObjectStore store, string name, CancellationToken cancellation)
    {
        if (await store.FindAsync(KeyOf(name), cancellation).ConfigureAwait(false) is null)
            return null;
        try
        {
            return JsonSerializer.Deserialize(await store.ReadAllBytesAsync(KeyOf(name), cancellation).ConfigureAwait(false), CheckpointManifestJson.Default.BestCheckpoint);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    /// <summary>Makes a name stand for this.</summary>
    public async Task WriteAsync(IObjectStore store, string name, CancellationToken cancellation) =>
        await store.PutBytesAsync(KeyOf(name), JsonSerializer.SerializeToUtf8Bytes(this, CheckpointManifestJson.Default.BestCheckpoint), PutCondition.None, cancellation).ConfigureAwait(false);

    private static string KeyOf(string name) => name + ".json";
}
