using Drover.Errors;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;

namespace Drover.Checkpoint.Checkpoints;

/// <summary>Runs, with what their checkpoints take.</summary>
internal sealed class RunCatalog(IObjectStore store)
{
    /// <summary>Runs that have checkpoints or saves, by name.</summary>
    public async Task<ListRunsResponse> ListAsync(int pageSize, string pageToken, CancellationToken cancellation)
    {
        (IReadOnlyList<string> page, string next) = Page.Of(await RunFolder.RunsAsync(store, cancellation).ConfigureAwait(false), pageSize, pageToken);
        var response = new ListRunsResponse { NextPageToken = next };
        foreach (string run in page)
        {
            RunFolder folder = await RunFolder.ReadAsync(store, run, cancellation).ConfigureAwait(false);
            if (folder.Steps.Count > 0)
                response.Runs.Add(await DescribeAsync(folder, cancellation).ConfigureAwait(false));
        }

        return response;
    }

    /// <summary>One run.</summary>
    /// <exception cref="DroverException">NotFound.</exception>
    public async Task<Run> GetAsync(string run, CancellationToken cancellation)
    {
        RunFolder folder = await RunFolder.ReadAsync(store, CheckpointName.CheckRun(run), cancellation).ConfigureAwait(false);
        if (folder.Steps.Count == 0)
            throw new DroverException(FailureCode.NotFound, "RUN_NOT_FOUND", $"There is no run '{run}' with a checkpoint.");
        Run described = await DescribeAsync(folder, cancellation).ConfigureAwait(false);
        described.Tags.Add((await RunTags.ListAsync(store, run, cancellation).ConfigureAwait(false)).Select(t => new CheckpointTag { Tag = t.Tag, Checkpoint = t.Checkpoint }));
        return described;
    }

    private async Task<Run> DescribeAsync(RunFolder folder, CancellationToken cancellation) => new()
    {
        Name = folder.Run,
        CheckpointCount = folder.Published.Count(),
        CheckpointBytes = folder.Steps.Where(s => s.IsPublished).Sum(s => s.Bytes),
        GarbageBytes = folder.Steps.Where(s => !s.IsPublished).Sum(s => s.Bytes),
        LatestStep = folder.Published.LastOrDefault()?.Step ?? 0,
        Retention = await RunRetention.ReadAsync(store, folder.Run, cancellation).ConfigureAwait(false),
    };
}
