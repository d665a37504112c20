using System.Collections.Concurrent;
using System.Globalization;
using Drover.Checkpoint.Checkpoints;
using Drover.Checkpoint.Models;
using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;

namespace Drover.Checkpoint.Hub;

/// <summary>
/// What a repository id and a revision of the Hub stand for:
///   "models/NAME", "NAME"          a model folder; its only revision is "main"
///   "runs/RUN"                     a run; "main" is its newest checkpoint, or a step ("1000", "step-1000"), "latest", "best", a tag
///   "RUN/step-1000", "RUN/best"    the same checkpoint with the revision "main"
/// A revision of a checkpoint may end in ":fp32", ":fp16", ":bf16" (the default) or ":adapter". A commit of any of them is a revision too.
/// </summary>
internal sealed class HubRevisions(IObjectStore store, ModelCatalog models, CheckpointCatalog checkpoints, CheckpointTokenizers tokenizers)
{
    public const string Main = "main";
    private const string Latest = "latest";
    private const string Best = "best";
    private const int CommitLength = 40;

    // What was rendered once is asked for again, file by file and range by range. The key holds the manifest's hash: it never goes stale.
    private const int Kept = 32;
    private readonly ConcurrentDictionary<string, HubRepository> _rendered = new(StringComparer.Ordinal);

    // A client that resolved a revision goes on with its commit.
    private readonly ConcurrentDictionary<string, string> _revisionOfCommit = new(StringComparer.Ordinal);

    /// <summary>A repository at a revision.</summary>
    /// <exception cref="DroverException">NotFound with the reason REPO_NOT_FOUND or REVISION_NOT_FOUND.</exception>
    public async Task<HubRepository> OpenAsync(string id, string revision, CancellationToken cancellation)
    {
        string? commit = revision.Length == CommitLength && revision.All(char.IsAsciiHexDigitLower) ? revision : null;
        if (commit is not null)
            revision = _revisionOfCommit.GetValueOrDefault($"{id} {commit}", Main);
        HubRepository found = await ResolveAsync(id, revision, cancellation).ConfigureAwait(false);
        if (commit is not null && found.Commit != commit)
            throw NoRevision(id, commit, "it is not, or no longer, what this server has");
        // "latest" moves: its commit has to go on meaning what it meant.
        if (commit is null)
            Keep(_revisionOfCommit, $"{id} {found.Commit}", Steady(id, revision, found));
        return found;
    }

    /// <summary>Branches and tags of a repository, by name, without their commits.</summary>
    public async Task<IReadOnlyList<string>> NamesAsync(string id, CancellationToken cancellation)
    {
        if (RunOf(id) is not { } run)
            return [];
        List<long> steps = [];
        string page = "";
        do
        {
            ListCheckpointsResponse answer = await checkpoints.ListAsync(run, 1000, page, cancellation).ConfigureAwait(false);
            steps.AddRange(answer.Checkpoints.Select(c => c.Step));
            page = answer.NextPageToken;
        }
        while (page.Length > 0);
        return [.. steps.Select(s => string.Create(CultureInfo.InvariantCulture, $"step-{s}")), .. (await checkpoints.TagsAsync(run, cancellation).ConfigureAwait(false)).Select(t => t.Tag)];
    }

    private async Task<HubRepository> ResolveAsync(string id, string revision, CancellationToken cancellation)
    {
        string[] parts = id.Split('/');
        try
        {
            switch (parts)
            {
                case [_] or ["models", _]:
                    RequireMain(id, revision);
                    return await HubRepository.OfModelAsync(store, models, id, $"models/{parts[^1]}", cancellation).ConfigureAwait(false);
                case ["runs", var run]:
                    return await RenderAsync(id, run, revision, cancellation).ConfigureAwait(false);
                case [var owner, var which]:
                    string form = revision.StartsWith(Main, StringComparison.Ordinal) ? revision[Main.Length..] : revision == Latest ? "" : throw NoRevision(id, revision, $"the id names a checkpoint already; ask for 'runs/{owner}' with that revision");
                    return await RenderAsync(id, owner, which + form, cancellation).ConfigureAwait(false);
                default:
                    throw NoRepository(id);
            }
        }
        catch (DroverException e) when (e is { Reason: "MODEL_NOT_FOUND" } or { Code: FailureCode.InvalidArgument } || (e.Reason == "REVISION_NOT_FOUND" && parts is [not "models" and not "runs", _] && revision is Main))
        {
            throw NoRepository(id);
        }
    }

    private async Task<HubRepository> RenderAsync(string id, string run, string revision, CancellationToken cancellation)
    {
        string[] parts = revision.Split(':');
        CheckpointReader checkpoint = await OpenCheckpointAsync(id, run, parts[0], cancellation).ConfigureAwait(false);
        var spec = new ExportSpec { Checkpoint = checkpoint.Prefix };
        (spec.DataType, spec.Form) = parts[1..] switch
        {
            [] or ["bf16"] => (ExportDataType.Bf16, ExportForm.Merged),
            ["fp16"] => (ExportDataType.Fp16, ExportForm.Merged),
            ["fp32"] => (ExportDataType.Fp32, ExportForm.Merged),
            ["adapter"] => (ExportDataType.Unspecified, ExportForm.Adapter),
            _ => throw NoRevision(id, revision, "after the colon may stand bf16, fp16, fp32 or adapter"),
        };
        string key = $"{id} {checkpoint.Prefix} {checkpoint.ManifestHash} {spec.DataType} {spec.Form}";
        if (_rendered.TryGetValue(key, out HubRepository? rendered))
            return rendered;
        spec.Tokenizer = await tokenizers.FindAsync(checkpoint.Manifest, cancellation).ConfigureAwait(false);
        rendered = await HubRepository.OfCheckpointAsync(store, id, spec, checkpoint, cancellation).ConfigureAwait(false);
        Keep(_rendered, key, rendered);
        return rendered;
    }

    private async Task<CheckpointReader> OpenCheckpointAsync(string id, string run, string revision, CancellationToken cancellation)
    {
        ObjectKey.Check(run);
        string prefix;
        try
        {
            if (revision is Main or Latest)
                prefix = (await checkpoints.GetLatestAsync(run, verify: false, cancellation).ConfigureAwait(false)).Checkpoint.Name;
            else if (revision == Best)
                prefix = RunKeys.Best(run);
            else if (StepOf(revision) is { } step)
                prefix = RunKeys.Checkpoint(run, step);
            else
                prefix = await checkpoints.FindTagAsync(run, revision, cancellation).ConfigureAwait(false) ?? throw NoRevision(id, revision, "it is no step (1000, step-1000), no tag of the run, and none of main, latest and best");
        }
        catch (DroverException e) when (e.Code == FailureCode.NotFound && e.Reason == "CHECKPOINT_NOT_FOUND")
        {
            throw NoRepository(id);
        }

        try
        {
            return await CheckpointReader.OpenAsync(store, prefix, cancellation).ConfigureAwait(false);
        }
        catch (DroverException e) when (e.Code == FailureCode.NotFound)
        {
            throw NoRevision(id, revision, e.Message);
        }
    }

    private static long? StepOf(string revision) =>
        long.TryParse(revision.StartsWith("step-", StringComparison.Ordinal) ? revision[5..] : revision, NumberStyles.None, CultureInfo.InvariantCulture, out long step) ? step : null;

    private static string? RunOf(string id) => id.Split('/') is ["runs", var run] ? run : null;

    // The step in place of a name that moves; of "RUN/step-1000" the id says it.
    private static string Steady(string id, string revision, HubRepository found) =>
        RunOf(id) is null || found.Step is not { } step ? revision : string.Create(CultureInfo.InvariantCulture, $"{step}{(revision.IndexOf(':') is var colon and >= 0 ? revision[colon..] : "")}");

    private static void RequireMain(string id, string revision)
    {
        if (revision is not Main)
            throw NoRevision(id, revision, "a model has the revision main alone; steps and tags are revisions of runs (runs/RUN)");
    }

    private static void Keep<T>(ConcurrentDictionary<string, T> all, string key, T value)
    {
        if (all.Count >= Kept * (value is string ? 100 : 1))
            all.Clear();
        all[key] = value;
    }

    private static DroverException NoRepository(string id) =>
        new(FailureCode.NotFound, "REPO_NOT_FOUND", $"There is no model and no run with a checkpoint '{id}'. Ids are like 'models/my-model', 'runs/my-run' or 'my-run/step-1000'.");

    private static DroverException NoRevision(string id, string revision, string why) =>
        new(FailureCode.NotFound, "REVISION_NOT_FOUND", $"'{id}' has no revision '{revision}': {why}.");
}
