using Drover.Checkpoint.Exports;
using Drover.Checkpoint.Models;
using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;

namespace Drover.Checkpoint.Hub;

/// <summary>
/// A repository of the Hub at one revision: files with sizes and tags, all known before any is read.
/// </summary>
/// <param name="Id">As it was asked for: "models/mine", "mine", "runs/my-run", "my-run/step-1000".</param>
/// <param name="Commit">40 hex digits that stand for this content.</param>
/// <param name="Files">In ordinal order of their paths.</param>
internal sealed record HubRepository(string Id, string Commit, IReadOnlyList<HubFile> Files)
{
    /// <summary>Of a checkpoint, its step; null for a model.</summary>
    public long? Step { get; init; }

    /// <summary>A file of this path, or null: whatever is asked for is looked up here and nowhere else.</summary>
    public HubFile? Find(string path) => Files.FirstOrDefault(f => f.Path == path);

    /// <summary>A model folder as it lies in the store.</summary>
    public static async Task<HubRepository> OfModelAsync(IObjectStore store, ModelCatalog models, string id, string name, CancellationToken cancellation)
    {
        Model model = await models.GetAsync(name, cancellation).ConfigureAwait(false);
        return new HubRepository(id, model.ContentHash[..40], [.. model.Files.OrderBy(f => f.Path, StringComparer.Ordinal).Select(f => new HubFile(
            f.Path,
            f.SizeBytes,
            f.Sha256,
            (target, offset, length, c) => CopyAsync(store, ObjectKey.Join(name, f.Path), target, offset, length, c))
        {
            Key = ObjectKey.Join(name, f.Path),
        })]);
    }

    /// <summary>A checkpoint, rendered as it is asked for: no byte of it is stored twice.</summary>
    public static async Task<HubRepository> OfCheckpointAsync(IObjectStore store, string id, ExportSpec spec, CheckpointReader checkpoint, CancellationToken cancellation)
    {
        ExportFolder folder = await ExportFolder.OfAsync(store, spec, checkpoint, cancellation).ConfigureAwait(false);
        // Everything that decides a rendered byte is in the lineage.
        string identity = HubFile.Digest(folder.Lineage.ToJson());
        var files = new List<HubFile> { HubFile.OfText(ExportLineage.FileName, folder.Lineage.ToJson()) };
        files.AddRange(folder.Texts.Select(t => HubFile.OfText(t.Name, t.Text)));
        if (folder.Weights.Index() is { } index)
            files.Add(HubFile.OfText(HuggingFaceModel.IndexFile, index));
        files.AddRange(folder.Weights.Files.Select(f => new HubFile(
            f.Name,
            f.Bytes,
            HubFile.Digest($"{identity} {f.Name}"),
            (target, offset, length, c) => folder.Weights.WriteRangeAsync(f, offset, length, target, c))));
        foreach (string name in folder.Tokenizer.Names)
        {
            string key = ObjectKey.Join(folder.Tokenizer.Prefix, name);
            ObjectInfo info = await store.GetInfoAsync(key, cancellation).ConfigureAwait(false);
            files.Add(new HubFile(name, info.Size, HubFile.Digest($"{folder.Lineage.TokenizerFilesHash} {name}"), (target, offset, length, c) => CopyAsync(store, key, target, offset, length, c)));
        }

        return new HubRepository(id, HubFile.Digest(string.Concat(files.Select(f => $"{f.Tag} {f.Path}\n").Order(StringComparer.Ordinal)))[..40], [.. files.OrderBy(f => f.Path, StringComparer.Ordinal)]) { Step = checkpoint.Manifest.Step };
    }

    private static async Task CopyAsync(IObjectStore store, string key, Stream target, long offset, long length, CancellationToken cancellation)
    {
        Stream source = await store.OpenReadAsync(key, offset, length, cancellation).ConfigureAwait(false);
        await using (source.ConfigureAwait(false))
            await source.CopyToAsync(target, 1 << 18, cancellation).ConfigureAwait(false);
    }
}

/// <summary>Writes a range of a file.</summary>
internal delegate Task WriteRange(Stream target, long offset, long length, CancellationToken cancellation);

/// <summary>A file of a repository.</summary>
/// <param name="Path">Relative to the repository.</param>
/// <param name="Size">Bytes.</param>
/// <param name="Tag">64 hex digits: of a stored file its SHA-256; of a rendered one of what decides its bytes.</param>
/// <param name="Write">Writes a range that lies in the file.</param>
internal sealed record HubFile(string Path, long Size, string Tag, WriteRange Write)
{
    /// <summary>Of a stored file, its object; null where it is rendered.</summary>
    public string? Key { get; init; }

    public static HubFile OfText(string path, string text)
    {
        byte[] bytes = System.Text.Encoding.UTF8.GetBytes(text);
        return new HubFile(path, bytes.Length, Digest(text), async (target, offset, length, c) => await target.WriteAsync(bytes.AsMemory((int)offset, (int)length), c).ConfigureAwait(false));
    }

    public static string Digest(string text) =>
        Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(text)));
}
