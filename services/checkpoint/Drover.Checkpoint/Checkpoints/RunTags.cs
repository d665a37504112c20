using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.ObjectStore;

namespace Drover.Checkpoint.Checkpoints;

/// <summary>Tags of a run's checkpoints: an object each, "runs/&lt;run&gt;/checkpoints/tags/&lt;tag&gt;.json".</summary>
internal static partial class RunTags
{
    private const string Suffix = ".json";

    /// <summary>All tags of a run with the checkpoints that they name, by tag.</summary>
    public static async Task<IReadOnlyList<(string Tag, string Checkpoint)>> ListAsync(IObjectStore store, string run, CancellationToken cancellation)
    {
        var tags = new List<(string, string)>();
        await foreach (ObjectInfo info in store.ListAsync(Folder(run), cancellation).ConfigureAwait(false))
        {
            if (info.Key.EndsWith(Suffix, StringComparison.Ordinal) && await ReadAsync(store, info.Key, cancellation).ConfigureAwait(false) is { } checkpoint)
                tags.Add((info.Key[Folder(run).Length..^Suffix.Length], checkpoint));
        }

        return tags;
    }

    /// <summary>The checkpoint of a tag, or null.</summary>
    public static async Task<string?> FindAsync(IObjectStore store, string run, string tag, CancellationToken cancellation)
    {
        string key = Folder(run) + tag + Suffix;
        return Shape().IsMatch(tag) && await store.FindAsync(key, cancellation).ConfigureAwait(false) is not null ? await ReadAsync(store, key, cancellation).ConfigureAwait(false) : null;
    }

    /// <summary>Puts a tag on a checkpoint; it moves where it is on another.</summary>
    /// <exception cref="DroverException">InvalidArgument.</exception>
    public static async Task SetAsync(IObjectStore store, string run, string tag, string checkpoint, CancellationToken cancellation) =>
        await store.PutTextAsync(Folder(run) + Check(tag) + Suffix, new JsonObject { ["checkpoint"] = checkpoint }.ToJsonString() + "\n", cancellation).ConfigureAwait(false);

    /// <summary>Takes a tag away.</summary>
    public static async Task RemoveAsync(IObjectStore store, string run, string tag, CancellationToken cancellation) =>
        await store.DeleteAsync(Folder(run) + Check(tag) + Suffix, cancellation).ConfigureAwait(false);

    /// <summary>Where a run's tags lie.</summary>
    public static string Folder(string run) => RunKeys.Checkpoints(run) + "tags/";

    private static string Check(string tag) => Shape().IsMatch(tag)
        ? tag
        : throw new DroverException(FailureCode.InvalidArgument, "INVALID_TAG", $"'{tag}' cannot be a tag: give 1 to 100 letters, digits, dots, dashes and underscores that begin with a letter, other than main, latest, best and step-...");

    private static async Task<string?> ReadAsync(IObjectStore store, string key, CancellationToken cancellation)
    {
        try
        {
            return JsonNode.Parse(await store.ReadAllBytesAsync(key, cancellation).ConfigureAwait(false))?["checkpoint"]?.GetValue<string>();
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return null;
        }
    }

    [GeneratedRegex(@"\A(?!(main|latest|best)\z)(?!step-)[A-Za-z][A-Za-z0-9._-]{0,99}\z")]
    private static partial Regex Shape();
}
