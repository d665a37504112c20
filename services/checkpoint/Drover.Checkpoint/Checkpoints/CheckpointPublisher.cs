using System.Text.Json;
using System.Text.Json.Nodes;
using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.ObjectStore;
using CheckpointMessage = Drover.Protocol.Checkpoint.V1.Checkpoint;

namespace Drover.Checkpoint.Checkpoints;

/// <summary>Makes what ranks wrote a checkpoint: verified first, the manifest last.</summary>
internal sealed partial class CheckpointPublisher(IObjectStore store, CheckpointVerifier verifier, RunKeeper keeper, ILogger<CheckpointPublisher> logger) : IDisposable
{
    // One at a time: what costs is reading, and "latest" only moves forward.
    private readonly SemaphoreSlim _one = new(1);

    /// <summary>Verifies and publishes; again is a success.</summary>
    /// <param name="name">"runs/&lt;run&gt;/checkpoints/step-00001000".</param>
    /// <param name="cancellation">Gives up; then nothing is published.</param>
    /// <exception cref="DroverException">NotFound; DataLoss naming the shards that do not verify; AlreadyExists for other content.</exception>
    public async Task<CheckpointMessage> PublishAsync(string name, CancellationToken cancellation)
    {
        CheckpointName parsed = CheckpointName.Parse(name);
        await _one.WaitAsync(cancellation).ConfigureAwait(false);
        try
        {
            return await PublishAsync(parsed, cancellation).ConfigureAwait(false);
        }
        finally
        {
            _one.Release();
        }
    }

    public void Dispose() => _one.Dispose();

    private async Task<CheckpointMessage> PublishAsync(CheckpointName name, CancellationToken cancellation)
    {
        string key = ObjectKey.Join(name.Prefix, CheckpointManifest.FileName);
        string pendingKey = ObjectKey.Join(name.Prefix, CheckpointManifest.PendingFileName);
        byte[]? published = await FindBytesAsync(key, cancellation).ConfigureAwait(false);
        byte[]? pending = await FindBytesAsync(pendingKey, cancellation).ConfigureAwait(false);
        if (published is not null)
        {
            if (pending is not null && !pending.AsSpan().SequenceEqual(published))
                throw new DroverException(FailureCode.AlreadyExists, "CHECKPOINT_EXISTS", $"The checkpoint '{name.Prefix}' is published with other content. Save under another run name.");
        }
        else if (pending is null)
        {
            throw new DroverException(FailureCode.NotFound, "CHECKPOINT_NOT_FOUND", $"There is nothing to publish at '{name.Prefix}': it has no {CheckpointManifest.PendingFileName}.");
        }

        byte[] bytes = published ?? pending!;
        CheckpointManifest manifest = CheckpointReader.ParseManifest(bytes, published is null ? pendingKey : key);
        if (published is null)
        {
            await VerifyAsync(name, manifest, cancellation).ConfigureAwait(false);
            await store.PutBytesAsync(key, bytes, PutCondition.IfAbsent, cancellation).ConfigureAwait(false);
            LogPublished(name.Prefix);
        }

        bool isNew = published is null;

        // A crash between the manifest and this leaves it to the next call.
        string hash = CheckpointCatalog.Hash(bytes);
        await MoveLatestAsync(name, hash, cancellation).ConfigureAwait(false);
        BestCheckpoint? best = await MoveBestAsync(name, manifest, hash, cancellation).ConfigureAwait(false);
        if (isNew)
            await TidyAsync(name.Run, cancellation).ConfigureAwait(false);
        return CheckpointCatalog.Describe(name.Prefix, manifest, hash, best);
    }

    // A run saves one checkpoint at a time: what is unpublished before this one will never be. What is published stays so whatever fails here.
    private async Task TidyAsync(string run, CancellationToken cancellation)
    {
        try
        {
            await keeper.CollectAsync(run, includeUnpublished: false, dryRun: false, cancellation).ConfigureAwait(false);
            await keeper.ApplyRetentionAsync(run, await RunRetention.ReadAsync(store, run, cancellation).ConfigureAwait(false), dryRun: false, cancellation).ConfigureAwait(false);
        }
        catch (DroverException e)
        {
            LogUntidy(run, e.Message);
        }
    }

    private async Task VerifyAsync(CheckpointName name, CheckpointManifest manifest, CancellationToken cancellation)
    {
        if (manifest.Run != name.Run || manifest.Step != name.Step)
            throw new DroverException(FailureCode.DataLoss, "DAMAGED_CHECKPOINT", $"The manifest at '{name.Prefix}' is of run '{manifest.Run}', step {manifest.Step}.");
        IReadOnlyList<string> problems = await verifier.VerifyAsync(name.Prefix, manifest, cancellation).ConfigureAwait(false);
        if (problems.Count > 0)
        {
            string more = problems.Count > 5 ? $"; and {problems.Count - 5} more" : "";
            throw new DroverException(FailureCode.DataLoss, "DAMAGED_CHECKPOINT", $"The checkpoint '{name.Prefix}' was not published: {string.Join("; ", problems.Take(5))}{more}.");
        }
    }

    // The mark moves to a checkpoint that is its run's best, unless one that is there and was measured alike is better.
    private async Task<BestCheckpoint?> MoveBestAsync(CheckpointName name, CheckpointManifest manifest, string hash, CancellationToken cancellation)
    {
        string key = RunKeys.Best(name.Run);
        BestCheckpoint? old = await BestCheckpoint.FindAsync(store, key, cancellation).ConfigureAwait(false);
        if (manifest.HeldOut is not { } heldOut || heldOut.BestStep != name.Step)
            return old;
        bool stays = old is not null && old.Measure == heldOut.Measure && old.Loss < heldOut.BestLoss
            && await store.FindAsync(ObjectKey.Join(old.Checkpoint, CheckpointManifest.FileName), cancellation).ConfigureAwait(false) is not null;
        if (stays)
            return old;
        var best = new BestCheckpoint(name.Prefix, name.Step, hash, heldOut.Measure, heldOut.BestLoss);
        await best.WriteAsync(store, key, cancellation).ConfigureAwait(false);
        return best;
    }

    /// <summary>The pointer for people and scripts; GetLatest does not trust it.</summary>
    private async Task MoveLatestAsync(CheckpointName name, string hash, CancellationToken cancellation)
    {
        string key = RunKeys.Checkpoints(name.Run) + "latest.json";
        if (await FindBytesAsync(key, cancellation).ConfigureAwait(false) is { } old && StepOf(old) is { } step && step > name.Step
            && await store.FindAsync(ObjectKey.Join(RunKeys.Checkpoint(name.Run, step), CheckpointManifest.FileName), cancellation).ConfigureAwait(false) is not null)
        {
            return;
        }

        var pointer = new JsonObject { ["checkpoint"] = name.Prefix, ["step"] = name.Step, ["manifest_hash"] = hash };
        await store.PutTextAsync(key, pointer.ToJsonString() + "\n", cancellation).ConfigureAwait(false);
    }

    private static long? StepOf(byte[] pointer)
    {
        try
        {
            return JsonNode.Parse(pointer)?["step"]?.GetValue<long>();
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException)
        {
            return null;
        }
    }

    private async Task<byte[]?> FindBytesAsync(string key, CancellationToken cancellation) =>
        await store.FindAsync(key, cancellation).ConfigureAwait(false) is null ? null : await store.ReadAllBytesAsync(key, cancellation).ConfigureAwait(false);

    [LoggerMessage(2, LogLevel.Warning, "What is not to be kept of {Run} was not removed: {Why} It is tried again after the next checkpoint")]
    private partial void LogUntidy(string run, string why);

    [LoggerMessage(1, LogLevel.Information, "Published {Name}")]
    private partial void LogPublished(string name);
}
