using System.Security.Cryptography;
using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;
using CheckpointMessage = Drover.Protocol.Checkpoint.V1.Checkpoint;

namespace Drover.Checkpoint.Checkpoints;

/// <summary>The published checkpoints.</summary>
internal sealed partial class CheckpointCatalog(IObjectStore store, CheckpointVerifier verifier, ILogger<CheckpointCatalog> logger)
{
    private const string Suffix = "/" + CheckpointManifest.FileName;

    /// <summary>A published checkpoint.</summary>
    /// <exception cref="DroverException">NotFound, or DataLoss when its manifest is damaged.</exception>
    public async Task<CheckpointMessage> GetAsync(string name, CancellationToken cancellation)
    {
        CheckpointReader reader = await CheckpointReader.OpenAsync(store, RunKeys.IsBest(name) ? name : CheckpointName.Parse(name).Prefix, cancellation).ConfigureAwait(false);
        return await DescribeAsync(reader, cancellation).ConfigureAwait(false);
    }

    /// <summary>The newest sound checkpoint of a run; damaged ones are passed over, and named.</summary>
    /// <param name="run">The run.</param>
    /// <param name="verify">Reads every byte; without, the manifest has to read and the shards to have their sizes.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="DroverException">NotFound where there is none; DataLoss where all are damaged.</exception>
    public async Task<GetLatestCheckpointResponse> GetLatestAsync(string run, bool verify, CancellationToken cancellation)
    {
        CheckpointName.CheckRun(run);
        var response = new GetLatestCheckpointResponse();
        foreach (CheckpointName name in (await NamesAsync(run, cancellation).ConfigureAwait(false)).OrderByDescending(n => n.Step))
        {
            IReadOnlyList<string> problems;
            try
            {
                problems = await ProblemsAsync(name.Prefix, verify, cancellation).ConfigureAwait(false);
                if (problems.Count == 0)
                {
                    response.Checkpoint = await GetAsync(name.Prefix, cancellation).ConfigureAwait(false);
                    return response;
                }
            }
            catch (DroverException e) when (e.Code == FailureCode.NotFound)
            {
                continue; // removed meanwhile
            }
            catch (DroverException e) when (e.Code == FailureCode.FailedPrecondition)
            {
                problems = [e.Message]; // written by a newer Drover
            }

            LogDamaged(name.Prefix, problems[0]);
            response.PassedOver.Add(new DamagedCheckpoint { Name = name.Prefix, Problems = { problems } });
        }

        throw response.PassedOver.Count == 0
            ? new DroverException(FailureCode.NotFound, "CHECKPOINT_NOT_FOUND", $"The run '{run}' has no checkpoint.")
            : new DroverException(FailureCode.DataLoss, "CHECKPOINTS_DAMAGED", $"All {response.PassedOver.Count} checkpoints of the run '{run}' are damaged, the newest: {response.PassedOver[0].Problems[0].TrimEnd('.')}. Bring one back from a copy, or delete them (drover checkpoint delete) and the run begins anew.");
    }

    /// <summary>Checkpoints in order of their names; those whose manifest is damaged are left out.</summary>
    public async Task<ListCheckpointsResponse> ListAsync(string run, int pageSize, string pageToken, CancellationToken cancellation)
    {
        if (run.Length > 0)
            CheckpointName.CheckRun(run);
        List<CheckpointName> names = await NamesAsync(run, cancellation).ConfigureAwait(false);
        (IReadOnlyList<string> page, string next) = Page.Of(names.Select(n => n.Prefix), pageSize, pageToken);
        var response = new ListCheckpointsResponse { NextPageToken = next };
        foreach (string prefix in page)
        {
            if (await OpenSoundAsync(CheckpointName.Parse(prefix), cancellation).ConfigureAwait(false) is { } found)
                response.Checkpoints.Add(await DescribeAsync(found, cancellation).ConfigureAwait(false));
            else
                LogDamaged(prefix, "its manifest does not read");
        }

        return response;
    }

    /// <summary>Reads a published checkpoint whole; what is damaged, one line each.</summary>
    /// <exception cref="DroverException">NotFound when there is no such checkpoint.</exception>
    public Task<IReadOnlyList<string>> VerifyAsync(string name, CancellationToken cancellation) => ProblemsAsync(CheckpointName.Parse(name).Prefix, verify: true, cancellation);

    /// <summary>Tags of a run.</summary>
    public Task<IReadOnlyList<(string Tag, string Checkpoint)>> TagsAsync(string run, CancellationToken cancellation) => RunTags.ListAsync(store, CheckpointName.CheckRun(run), cancellation);

    /// <summary>The checkpoint that a tag of a run names, or null.</summary>
    public Task<string?> FindTagAsync(string run, string tag, CancellationToken cancellation) => RunTags.FindAsync(store, CheckpointName.CheckRun(run), tag, cancellation);

    /// <summary>Puts a tag on a checkpoint.</summary>
    /// <exception cref="DroverException">NotFound; InvalidArgument for the tag.</exception>
    public async Task<CheckpointMessage> TagAsync(string name, string tag, CancellationToken cancellation)
    {
        CheckpointMessage checkpoint = await GetAsync(name, cancellation).ConfigureAwait(false);
        await RunTags.SetAsync(store, checkpoint.Run, tag, checkpoint.Name, cancellation).ConfigureAwait(false);
        return await GetAsync(checkpoint.Name, cancellation).ConfigureAwait(false);
    }

    /// <summary>Takes a tag away; none is a success.</summary>
    public Task UntagAsync(string run, string tag, CancellationToken cancellation) => RunTags.RemoveAsync(store, CheckpointName.CheckRun(run), tag, cancellation);

    internal static CheckpointMessage Describe(string prefix, CheckpointManifest manifest, string hash, BestCheckpoint? best)
    {
        var message = new CheckpointMessage
        {
            Name = prefix,
            Run = manifest.Run,
            Step = manifest.Step,
            SizeBytes = manifest.Shards.Sum(s => s.Bytes),
            ManifestHash = hash,
            RowsConsumed = manifest.RowsConsumed,
            TokensSeen = manifest.TokensSeen,
            Loss = manifest.Loss,
            IsBest = best?.Checkpoint == prefix,
        };
        if (manifest.HeldOut is { } heldOut && heldOut.Step == manifest.Step)
            message.HeldOutLoss = heldOut.Loss;
        return message;
    }

    private async Task<CheckpointMessage> DescribeAsync(CheckpointReader checkpoint, CancellationToken cancellation)
    {
        BestCheckpoint? best = await BestCheckpoint.FindAsync(store, RunKeys.Best(checkpoint.Manifest.Run), cancellation).ConfigureAwait(false);
        CheckpointMessage message = Describe(checkpoint.Prefix, checkpoint.Manifest, checkpoint.ManifestHash, best);
        message.Tags.Add((await RunTags.ListAsync(store, checkpoint.Manifest.Run, cancellation).ConfigureAwait(false)).Where(t => t.Checkpoint == checkpoint.Prefix).Select(t => t.Tag));
        return message;
    }

    internal static string Hash(byte[] manifest) => Convert.ToHexStringLower(SHA256.HashData(manifest));

    private async Task<List<CheckpointName>> NamesAsync(string run, CancellationToken cancellation)
    {
        var names = new List<CheckpointName>();
        await foreach (ObjectInfo info in store.ListAsync(run.Length > 0 ? RunKeys.Checkpoints(run) : "runs/", cancellation).ConfigureAwait(false))
        {
            if (info.Key.EndsWith(Suffix, StringComparison.Ordinal) && CheckpointName.Find(info.Key[..^Suffix.Length]) is { } name)
                names.Add(name);
        }

        return names;
    }

    private async Task<IReadOnlyList<string>> ProblemsAsync(string prefix, bool verify, CancellationToken cancellation)
    {
        try
        {
            CheckpointManifest manifest = (await CheckpointReader.OpenAsync(store, prefix, cancellation).ConfigureAwait(false)).Manifest;
            return verify
                ? await verifier.VerifyAsync(prefix, manifest, cancellation).ConfigureAwait(false)
                : await verifier.SizeProblemsAsync(prefix, manifest, cancellation).ConfigureAwait(false);
        }
        catch (DroverException e) when (e.Code is FailureCode.DataLoss or FailureCode.InvalidArgument)
        {
            return [e.Message];
        }
    }

    private async Task<CheckpointReader?> OpenSoundAsync(CheckpointName name, CancellationToken cancellation)
    {
        try
        {
            return await CheckpointReader.OpenAsync(store, name.Prefix, cancellation).ConfigureAwait(false);
        }
        catch (DroverException e) when (e.Code is FailureCode.DataLoss or FailureCode.NotFound or FailureCode.InvalidArgument or FailureCode.FailedPrecondition)
        {
            return null;
        }
    }

    [LoggerMessage(1, LogLevel.Warning, "Checkpoint {Name} is damaged and passed over: {Why}")]
    private partial void LogDamaged(string name, string why);
}
