using System.Text.Json.Nodes;

namespace Drover.Checkpoint.Hub;

/// <summary>Entries of a folder of a repository.</summary>
internal static class HubTree
{
    /// <summary>Files below a folder, or those in it and its folders, in ordinal order of their paths.</summary>
    public static List<JsonObject> Of(IReadOnlyList<HubFile> files, string folder, bool recursive, Func<HubFile, string, JsonObject> entry)
    {
        string prefix = folder.Length == 0 ? "" : folder + "/";
        var entries = new SortedDictionary<string, JsonObject>(StringComparer.Ordinal);
        foreach (HubFile file in files.Where(f => f.Path.StartsWith(prefix, StringComparison.Ordinal)))
        {
            for (int slash = file.Path.IndexOf('/', prefix.Length); slash > 0; slash = recursive ? file.Path.IndexOf('/', slash + 1) : -1)
                entries[file.Path[..slash]] = new JsonObject { ["type"] = "directory", ["path"] = file.Path[..slash], ["oid"] = HubFile.Digest(file.Path[..slash])[..40], ["size"] = 0 };
            if (recursive || file.Path.IndexOf('/', prefix.Length) < 0)
                entries[file.Path] = entry(file, "path");
        }

        return [.. entries.Values];
    }
}
