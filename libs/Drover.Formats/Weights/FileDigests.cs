using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Drover.Errors;
using Drover.Formats.HuggingFace;
using Drover.ObjectStore;

namespace Drover.Formats.Weights;

/// <summary>A digest, and the size and tag of the object that it is of.</summary>
/// <param name="Size">Bytes.</param>
/// <param name="Tag">The store's.</param>
/// <param name="Sha256">Lower-case hex.</param>
public sealed record FileDigest(long Size, string Tag, string Sha256);

/// <summary>SHA-256 of the files of a model's folder: computed once, and kept under "models/.digests/" for as long as a file's size and tag stay.</summary>
public static class FileDigests
{
    /// <summary>Where they are kept.</summary>
    public const string Cache = Home + ".digests/";

    private const string Home = "models/";

    /// <summary>Digests of files of a folder, in the order given.</summary>
    /// <param name="store">The object store.</param>
    /// <param name="prefix">The folder.</param>
    /// <param name="files">Of <paramref name="prefix"/>.</param>
    /// <param name="cancellation">Gives up.</param>
    public static async Task<IReadOnlyList<FileDigest>> OfAsync(IObjectStore store, string prefix, IReadOnlyList<ObjectInfo> files, CancellationToken cancellation)
    {
        bool keeps = prefix.StartsWith(Home, StringComparison.Ordinal) && prefix.IndexOf('/', Home.Length) < 0;
        string cacheKey = $"{Cache}{prefix[Math.Min(prefix.Length, Home.Length)..]}.json";
        Dictionary<string, FileDigest> known = keeps ? await ReadCacheAsync(store, cacheKey, cancellation).ConfigureAwait(false) : [];
        var all = new Dictionary<string, FileDigest>(known, StringComparer.Ordinal);
        var digests = new List<FileDigest>(files.Count);
        foreach (ObjectInfo file in files)
        {
            string path = file.Key[(prefix.Length + 1)..];
            FileDigest digest = known.TryGetValue(path, out FileDigest? old) && old.Size == file.Size && old.Tag == file.Tag
                ? old
                : new FileDigest(file.Size, file.Tag, await store.Sha256Async(file.Key, cancellation).ConfigureAwait(false));
            digests.Add(all[path] = digest);
        }

        if (keeps && all.Any(f => known.GetValueOrDefault(f.Key) != f.Value))
            await store.PutBytesAsync(cacheKey, JsonSerializer.SerializeToUtf8Bytes(all, FileDigestJson.Default.DictionaryStringFileDigest), PutCondition.None, cancellation).ConfigureAwait(false);
        return digests;
    }

    /// <summary>SHA-256 over the digests and names of what makes a folder's weights: config, index and safetensors files.</summary>
    public static async Task<string> HashOfWeightsAsync(IObjectStore store, string prefix, CancellationToken cancellation)
    {
        var files = new List<ObjectInfo>();
        await foreach (ObjectInfo info in store.ListAsync(prefix + "/", cancellation).ConfigureAwait(false))
        {
            string path = info.Key[(prefix.Length + 1)..];
            if (path is LlamaConfig.FileName or HuggingFaceModel.IndexFile || (path.EndsWith(".safetensors", StringComparison.Ordinal) && !path.Contains('/', StringComparison.Ordinal)))
                files.Add(info);
        }

        files.Sort((a, b) => string.CompareOrdinal(a.Key, b.Key));
        IReadOnlyList<FileDigest> digests = await OfAsync(store, prefix, files, cancellation).ConfigureAwait(false);
        string lines = string.Concat(files.Zip(digests, (file, digest) => $"{digest.Sha256}  {file.Key[(prefix.Length + 1)..]}\n"));
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(lines)));
    }

    // A cache: whatever is wrong with it, the digests are computed again.
    private static async Task<Dictionary<string, FileDigest>> ReadCacheAsync(IObjectStore store, string key, CancellationToken cancellation)
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

/// <summary>Serializes the cache.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(Dictionary<string, FileDigest>))]
internal sealed partial class FileDigestJson : JsonSerializerContext;
