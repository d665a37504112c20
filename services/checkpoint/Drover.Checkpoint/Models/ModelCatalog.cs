using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Drover.Errors;
using Drover.Formats.HuggingFace;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;

namespace Drover.Checkpoint.Models;

/// <summary>The Hugging Face folders under models/. Digests are computed once and kept beside them.</summary>
internal sealed class ModelCatalog(IObjectStore store)
{
    private const string Home = "models/";
    private const string Digests = "models/.digests/";

    /// <summary>Names of models, without their files.</summary>
    public async Task<ListModelsResponse> ListAsync(int pageSize, string pageToken, CancellationToken cancellation)
    {
        var sizes = new Dictionary<string, long>(StringComparer.Ordinal);
        var whole = new HashSet<string>(StringComparer.Ordinal);
        await foreach (ObjectInfo info in store.ListAsync(Home, cancellation).ConfigureAwait(false))
        {
            if (info.Key.StartsWith(Digests, StringComparison.Ordinal) || info.Key.IndexOf('/', Home.Length) is var slash && slash < 0)
                continue;
            string name = info.Key[..slash];
            sizes[name] = sizes.GetValueOrDefault(name) + info.Size;
            if (info.Key.AsSpan(slash + 1).SequenceEqual(LlamaConfig.FileName))
                whole.Add(name);
        }

        (IReadOnlyList<string> page, string next) = Page.Of(whole, pageSize, pageToken);
        return new ListModelsResponse
        {
            Models = { page.Select(name => new Model { Name = name, SizeBytes = sizes[name] }) },
            NextPageToken = next,
        };
    }

    /// <summary>A model with the digest of every file.</summary>
    /// <exception cref="DroverException">InvalidArgument; NotFound when there is no config.json.</exception>
    public async Task<Model> GetAsync(string name, CancellationToken cancellation) =>
        (await GetFilesAsync(name, cancellation).ConfigureAwait(false)).Model;

    /// <summary>A model, and the tags of its files as they were when it was looked at.</summary>
    public async Task<(Model Model, IReadOnlyDictionary<string, string> Tags)> GetFilesAsync(string name, CancellationToken cancellation)
    {
        Check(name);
        List<ObjectInfo> files = [];
        await foreach (ObjectInfo info in store.ListAsync(name + "/", cancellation).ConfigureAwait(false))
            files.Add(info);
        if (!files.Any(f => f.Key == $"{name}/{LlamaConfig.FileName}"))
            throw new DroverException(FailureCode.NotFound, "MODEL_NOT_FOUND", $"There is no model '{name}': it has no config.json.");

        string cacheKey = $"{Digests}{name[Home.Length..]}.json";
        Dictionary<string, FileDigest> known = await ReadCacheAsync(cacheKey, cancellation).ConfigureAwait(false);
        var fresh = new Dictionary<string, FileDigest>(StringComparer.Ordinal);
        var model = new Model { Name = name };
        var lines = new StringBuilder();
        foreach (ObjectInfo file in files)
        {
            string path = file.Key[(name.Length + 1)..];
            FileDigest digest = known.TryGetValue(path, out FileDigest? old) && old.Size == file.Size && old.Tag == file.Tag
                ? old
                : new FileDigest(file.Size, file.Tag, await DigestAsync(file.Key, cancellation).ConfigureAwait(false));
            fresh[path] = digest;
            model.Files.Add(new ModelFile { Path = path, SizeBytes = file.Size, Sha256 = digest.Sha256 });
            model.SizeBytes += file.Size;
            lines.Append(digest.Sha256).Append("  ").Append(path).Append('\n');
        }

        // The same as `sha256sum` of all files in order of their names, and again of its output.
        model.ContentHash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(lines.ToString())));
        if (fresh.Count != known.Count || fresh.Any(f => known.GetValueOrDefault(f.Key) != f.Value))
            await store.PutBytesAsync(cacheKey, JsonSerializer.SerializeToUtf8Bytes(fresh, FileDigestJson.Default.DictionaryStringFileDigest), PutCondition.None, cancellation).ConfigureAwait(false);
        return (model, fresh.ToDictionary(f => f.Key, f => f.Value.Tag));
    }

    private static void Check(string name)
    {
        if (!name.StartsWith(Home, StringComparison.Ordinal) || name.IndexOf('/', Home.Length) >= 0 || name.Length == Home.Length || name[Home.Length] == '.')
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_MODEL_NAME", $"'{name}' is not the name of a model, like 'models/my-model'.");
        ObjectKey.Check(name);
    }

    private async Task<string> DigestAsync(string key, CancellationToken cancellation)
    {
        Stream stream = await store.OpenReadAsync(key, 0, null, cancellation).ConfigureAwait(false);
        await using (stream.ConfigureAwait(false))
            return Convert.ToHexStringLower(await SHA256.HashDataAsync(stream, cancellation).ConfigureAwait(false));
    }

    // A cache: whatever is wrong with it, the digests are computed again.
    private async Task<Dictionary<string, FileDigest>> ReadCacheAsync(string key, CancellationToken cancellation)
    {
        try
        {
            byte[] bytes = await store.ReadAllBytesAsync(key, cancellation).ConfigureAwait(false);
            return JsonSerializer.Deserialize(bytes, FileDigestJson.Default.DictionaryStringFileDigest) ?? [];
        }
        catch (Exception e) when (e is JsonException or DroverException { Code: FailureCode.NotFound })
        {
            return [];
        }
    }
}
