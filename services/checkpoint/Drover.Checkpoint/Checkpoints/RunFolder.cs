using Drover.Formats.Checkpoints;
using Drover.ObjectStore;

namespace Drover.Checkpoint.Checkpoints;

/// <summary>What lies under a run's checkpoints, by checkpoint: one listing.</summary>
/// <param name="Run">The run.</param>
/// <param name="Steps">Folders of steps, published or not, oldest first.</param>
internal sealed record RunFolder(string Run, IReadOnlyList<StepFolder> Steps)
{
    /// <summary>Those that are published.</summary>
    public IEnumerable<CheckpointName> Published => Steps.Where(s => s.IsPublished).Select(s => s.Name);

    /// <summary>Lists a run's folder.</summary>
    public static async Task<RunFolder> ReadAsync(IObjectStore store, string run, CancellationToken cancellation)
    {
        List<ObjectInfo> objects = await store.ListAsync(RunKeys.Checkpoints(run), cancellation).ToListAsync(cancellation).ConfigureAwait(false);
        return new RunFolder(run, [.. objects
            .GroupBy(o => o.Key[..o.Key.LastIndexOf('/')])
            .Select(g => (Name: CheckpointName.Find(g.Key), Objects: g))
            .Where(f => f.Name is not null)
            .Select(f => new StepFolder(f.Name!, [.. f.Objects]))
            .OrderBy(s => s.Name.Step)]);
    }

    /// <summary>Runs that have anything, by name.</summary>
    public static async Task<IReadOnlyList<string>> RunsAsync(IObjectStore store, CancellationToken cancellation)
    {
        var runs = new SortedSet<string>(StringComparer.Ordinal);
        await foreach (ObjectInfo info in store.ListAsync("runs/", cancellation).ConfigureAwait(false))
        {
            if (info.Key.IndexOf('/', "runs/".Length) is var slash and > 0)
                runs.Add(info.Key["runs/".Length..slash]);
        }

        return [.. runs];
    }
}

/// <summary>The objects of one checkpoint.</summary>
/// <param name="Name">Which.</param>
/// <param name="Objects">All that lies in it.</param>
internal sealed record StepFolder(CheckpointName Name, IReadOnlyList<ObjectInfo> Objects)
{
    /// <summary>It has a manifest: it is a checkpoint.</summary>
    public bool IsPublished => Objects.Any(o => o.Key.EndsWith("/" + CheckpointManifest.FileName, StringComparison.Ordinal));

    /// <summary>Bytes of all objects.</summary>
    public long Bytes => Objects.Sum(o => o.Size);

    /// <summary>In the order in which they are removed: without its manifest a checkpoint is none, and what a crash then leaves is garbage that is found.</summary>
    public IEnumerable<ObjectInfo> Removed => Objects.OrderByDescending(o => o.Key.EndsWith(".json", StringComparison.Ordinal)).ThenBy(o => o.Key, StringComparer.Ordinal);
}
