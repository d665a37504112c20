using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.Common.V1;

namespace Drover.Checkpoint.Checkpoints;

/// <summary>
/// Removes what is not to be kept of runs: by retention, by request, and what crashes left. A manifest goes before its shards, and nothing
/// that a manifest names goes before the manifest; what is looked at and what is removed are the same listing, so a dry run tells the truth.
/// </summary>
internal sealed partial class RunKeeper(IObjectStore store, CheckpointVerifier verifier, ILogger<RunKeeper> logger)
{
    private static readonly TimeSpan LeftoverAge = TimeSpan.FromDays(1);

    /// <summary>Removes the checkpoints of a run that no rule keeps.</summary>
    public async Task<Removal> ApplyRetentionAsync(string run, RetentionSpec spec, bool dryRun, CancellationToken cancellation)
    {
        var removal = new Removal();
        if (spec.KeepLast == 0)
            return removal;
        RunFolder folder = await RunFolder.ReadAsync(store, run, cancellation).ConfigureAwait(false);
        int sound = 0;
        HashSet<string>? kept = null;
        foreach (StepFolder step in folder.Steps.Where(s => s.IsPublished).Reverse())
        {
            if (sound < spec.KeepLast)
            {
                // A damaged one is no checkpoint to go on from, so it does not count; and it may be what somebody wants to look at.
                sound += await IsSoundAsync(step, cancellation).ConfigureAwait(false) ? 1 : 0;
                continue;
            }

            if (spec.KeepEverySteps > 0 && step.Name.Step % spec.KeepEverySteps == 0)
                continue;
            kept ??= await KeptAsync(run, cancellation).ConfigureAwait(false);
            if (!kept.Contains(step.Name.Prefix))
                await RemoveAsync(removal, step.Name.Prefix, step.Removed, dryRun, cancellation).ConfigureAwait(false);
        }

        Log(removal, dryRun, run);
        return removal;
    }

    /// <summary>Removes what lies in a run's folder and no manifest names.</summary>
    /// <param name="run">The run.</param>
    /// <param name="includeUnpublished">Also what has a step after the latest checkpoint, and may be being written.</param>
    /// <param name="dryRun">Only tells.</param>
    /// <param name="cancellation">Gives up.</param>
    public async Task<Removal> CollectAsync(string run, bool includeUnpublished, bool dryRun, CancellationToken cancellation)
    {
        var removal = new Removal();
        RunFolder folder = await RunFolder.ReadAsync(store, run, cancellation).ConfigureAwait(false);
        long latest = await LatestSoundAsync(folder, cancellation).ConfigureAwait(false);
        foreach (StepFolder step in folder.Steps)
        {
            if (step.IsPublished)
                await CollectStraysAsync(removal, step, dryRun, cancellation).ConfigureAwait(false);
            else if (includeUnpublished || step.Name.Step <= latest)
                await RemoveAsync(removal, step.Name.Prefix, step.Removed, dryRun, cancellation).ConfigureAwait(false);
        }

        Log(removal, dryRun, run);
        return removal;
    }

    /// <summary>Collects the garbage of one run or all, and what uploads left that never ended.</summary>
    public async Task<Removal> CollectAsync(CollectGarbageRequest request, CancellationToken cancellation)
    {
        if (request.LeftoverAgeSeconds < 0)
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_AGE", $"leftover_age_seconds is {request.LeftoverAgeSeconds}; give 0 for a day, or more.");
        var removal = new Removal();
        IReadOnlyList<string> runs = request.Run.Length > 0 ? [CheckpointName.CheckRun(request.Run)] : await RunFolder.RunsAsync(store, cancellation).ConfigureAwait(false);
        foreach (string run in runs)
        {
            Removal ofRun = await CollectAsync(run, request.IncludeUnpublished, request.DryRun, cancellation).ConfigureAwait(false);
            removal.Names.Add(ofRun.Names);
            removal.Objects += ofRun.Objects;
            removal.Bytes += ofRun.Bytes;
        }

        TimeSpan age = request.LeftoverAgeSeconds > 0 ? TimeSpan.FromSeconds(request.LeftoverAgeSeconds) : LeftoverAge;
        foreach (ObjectInfo leftover in await store.RemoveLeftoversAsync(age, request.DryRun, cancellation).ConfigureAwait(false))
        {
            removal.Names.Add(leftover.Key);
            removal.Objects++;
            removal.Bytes += leftover.Size;
        }

        return removal;
    }

    /// <summary>Removes a checkpoint.</summary>
    /// <exception cref="DroverException">NotFound; FailedPrecondition, naming what refers to it.</exception>
    public async Task<Removal> DeleteAsync(string name, bool dryRun, CancellationToken cancellation)
    {
        CheckpointName parsed = CheckpointName.Parse(name);
        RunFolder folder = await RunFolder.ReadAsync(store, parsed.Run, cancellation).ConfigureAwait(false);
        StepFolder step = folder.Steps.FirstOrDefault(s => s.Name == parsed)
            ?? throw new DroverException(FailureCode.NotFound, "CHECKPOINT_NOT_FOUND", $"There is no checkpoint '{name}'.");
        string[] tags = [.. (await RunTags.ListAsync(store, parsed.Run, cancellation).ConfigureAwait(false)).Where(t => t.Checkpoint == name).Select(t => t.Tag)];
        if (tags.Length > 0)
            throw InUse(name, $"it has the tag {string.Join(", ", tags)}. Take that off first (drover checkpoint untag)");
        ThrowIfReferred(name, (await CheckpointReferences.FindAsync(store, cancellation).ConfigureAwait(false))[name]);
        var removal = new Removal();
        await RemoveAsync(removal, name, step.Removed, dryRun, cancellation).ConfigureAwait(false);
        Log(removal, dryRun, parsed.Run);
        return removal;
    }

    /// <summary>Removes a run.</summary>
    /// <exception cref="DroverException">NotFound; FailedPrecondition, naming what refers to it.</exception>
    public async Task<Removal> DeleteRunAsync(string run, bool dryRun, CancellationToken cancellation)
    {
        CheckpointName.CheckRun(run);
        string home = RunKeys.Run(run) + "/";
        ILookup<string, string> references = await CheckpointReferences.FindAsync(store, cancellation).ConfigureAwait(false);
        foreach (IGrouping<string, string> reference in references.Where(r => r.Key.StartsWith(home, StringComparison.Ordinal)))
            ThrowIfReferred(reference.Key, reference.Where(r => r != run));
        List<ObjectInfo> objects = await store.ListAsync(home, cancellation).ToListAsync(cancellation).ConfigureAwait(false);
        if (objects.Count == 0)
            throw new DroverException(FailureCode.NotFound, "RUN_NOT_FOUND", $"There is no run '{run}'.");
        var removal = new Removal();
        await RemoveAsync(removal, RunKeys.Run(run), objects.OrderByDescending(o => o.Key.EndsWith("/" + CheckpointManifest.FileName, StringComparison.Ordinal)), dryRun, cancellation).ConfigureAwait(false);
        Log(removal, dryRun, run);
        return removal;
    }

    /// <summary>Removes a model folder.</summary>
    /// <exception cref="DroverException">NotFound; FailedPrecondition, naming what refers to it.</exception>
    public async Task<Removal> DeleteModelAsync(string name, bool dryRun, CancellationToken cancellation)
    {
        Models.ModelCatalog.Check(name);
        List<ObjectInfo> objects = await store.ListAsync(name + "/", cancellation).ToListAsync(cancellation).ConfigureAwait(false);
        if (objects.Count == 0)
            throw new DroverException(FailureCode.NotFound, "MODEL_NOT_FOUND", $"There is no model '{name}'.");
        ThrowIfReferred(name, (await CheckpointReferences.FindAsync(store, cancellation).ConfigureAwait(false))[name]);
        var removal = new Removal();
        // The config makes it a model: it goes first.
        await RemoveAsync(removal, name, objects.OrderByDescending(o => o.Key.EndsWith("config.json", StringComparison.Ordinal)), dryRun, cancellation).ConfigureAwait(false);
        Log(removal, dryRun, name);
        return removal;
    }

    private async Task<HashSet<string>> KeptAsync(string run, CancellationToken cancellation)
    {
        var kept = new HashSet<string>(StringComparer.Ordinal);
        if (await BestCheckpoint.FindAsync(store, RunKeys.Best(run), cancellation).ConfigureAwait(false) is { } best)
            kept.Add(best.Checkpoint);
        kept.UnionWith((await RunTags.ListAsync(store, run, cancellation).ConfigureAwait(false)).Select(t => t.Checkpoint));
        kept.UnionWith((await CheckpointReferences.FindAsync(store, cancellation).ConfigureAwait(false)).Select(r => r.Key));
        return kept;
    }

    private async Task<long> LatestSoundAsync(RunFolder folder, CancellationToken cancellation)
    {
        foreach (StepFolder step in folder.Steps.Where(s => s.IsPublished).Reverse())
        {
            if (await IsSoundAsync(step, cancellation).ConfigureAwait(false))
                return step.Name.Step;
        }

        return -1;
    }

    private async Task<bool> IsSoundAsync(StepFolder step, CancellationToken cancellation) =>
        await ManifestAsync(step, cancellation).ConfigureAwait(false) is { } manifest
        && (await verifier.SizeProblemsAsync(step.Name.Prefix, manifest, cancellation).ConfigureAwait(false)).Count == 0;

    private async Task<CheckpointManifest?> ManifestAsync(StepFolder step, CancellationToken cancellation)
    {
        try
        {
            return (await CheckpointReader.OpenAsync(store, step.Name.Prefix, cancellation).ConfigureAwait(false)).Manifest;
        }
        catch (DroverException e) when (e.Code is FailureCode.DataLoss or FailureCode.NotFound or FailureCode.InvalidArgument or FailureCode.FailedPrecondition)
        {
            return null;
        }
    }

    // Beside a published manifest: shards of a save with more ranks that a crash ended, and the pending manifest, which has done its work.
    private async Task CollectStraysAsync(Removal removal, StepFolder step, bool dryRun, CancellationToken cancellation)
    {
        // Of one that nobody can read nothing is known: it is left alone.
        if (await ManifestAsync(step, cancellation).ConfigureAwait(false) is not { } manifest)
            return;
        HashSet<string> named = [.. manifest.Shards.Select(s => ObjectKey.Join(step.Name.Prefix, s.File)), ObjectKey.Join(step.Name.Prefix, CheckpointManifest.FileName)];
        foreach (ObjectInfo stray in step.Objects.Where(o => !named.Contains(o.Key)))
            await RemoveAsync(removal, stray.Key, [stray], dryRun, cancellation).ConfigureAwait(false);
    }

    private async Task RemoveAsync(Removal removal, string name, IEnumerable<ObjectInfo> objects, bool dryRun, CancellationToken cancellation)
    {
        removal.Names.Add(name);
        foreach (ObjectInfo info in objects)
        {
            if (!dryRun)
                await store.DeleteAsync(info.Key, cancellation).ConfigureAwait(false);
            removal.Objects++;
            removal.Bytes += info.Size;
        }
    }

    private static void ThrowIfReferred(string name, IEnumerable<string> runs)
    {
        string[] all = [.. runs.Distinct().Order(StringComparer.Ordinal)];
        if (all.Length > 0)
            throw InUse(name, $"{(all.Length == 1 ? "the run" : "the runs")} {string.Join(", ", all)} began from it, and may need it to go on or to be exported. Delete {(all.Length == 1 ? "that run" : "those runs")} first");
    }

    private static DroverException InUse(string name, string why) => new(FailureCode.FailedPrecondition, "IN_USE", $"'{name}' stays: {why}.");

    private void Log(Removal removal, bool dryRun, string of)
    {
        if (!dryRun && removal.Objects > 0)
            LogRemoved(removal.Objects, removal.Bytes, of, string.Join(", ", removal.Names));
    }

    [LoggerMessage(1, LogLevel.Information, "Removed {Objects} objects of {Bytes} bytes of {Of}: {Names}")]
    private partial void LogRemoved(long objects, long bytes, string of, string names);
}
