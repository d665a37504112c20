using System.Security.Cryptography;
using System.Text;
using Drover.Errors;
using Drover.Formats.Adapters;
using Drover.Formats.HuggingFace;
using Drover.Formats.Weights;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;

namespace Drover.Checkpoint.Models;

/// <summary>The Hugging Face folders, models and adapters, under models/. Digests are computed once and kept beside them.</summary>
internal sealed class ModelCatalog(IObjectStore store)
{
    private const string Home = "models/";

    /// <summary>Names of models, without their files.</summary>
    public async Task<ListModelsResponse> ListAsync(int pageSize, string pageToken, CancellationToken cancellation)
    {
        var sizes = new Dictionary<string, long>(StringComparer.Ordinal);
        var whole = new HashSet<string>(StringComparer.Ordinal);
        await foreach (ObjectInfo info in store.ListAsync(Home, cancellation).ConfigureAwait(false))
        {
            if (info.Key.StartsWith(FileDigests.Cache, StringComparison.Ordinal) || info.Key.IndexOf('/', Home.Length) is var slash && slash < 0)
                continue;
            string name = info.Key[..slash];
            sizes[name] = sizes.GetValueOrDefault(name) + info.Size;
            if (info.Key[(slash + 1)..] is LlamaConfig.FileName or PeftConfig.FileName)
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
        if (!files.Any(f => f.Key[(name.Length + 1)..] is LlamaConfig.FileName or PeftConfig.FileName))
            throw new DroverException(FailureCode.NotFound, "MODEL_NOT_FOUND", $"There is no model '{name}': it has no config.json.");

        IReadOnlyList<FileDigest> digests = await FileDigests.OfAsync(store, name, files, cancellation).ConfigureAwait(false);
        var model = new Model { Name = name };
        var lines = new StringBuilder();
        foreach ((ObjectInfo file, FileDigest digest) in files.Zip(digests))
        {
            string path = file.Key[(name.Length + 1)..];
            model.Files.Add(new ModelFile { Path = path, SizeBytes = file.Size, Sha256 = digest.Sha256 });
            model.SizeBytes += file.Size;
            lines.Append(digest.Sha256).Append("  ").Append(path).Append('\n');
        }

        // The same as `sha256sum` of all files in order of their names, and again of its output.
        model.ContentHash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(lines.ToString())));
        return (model, files.ToDictionary(f => f.Key[(name.Length + 1)..], f => f.Tag));
    }

    /// <summary>Refuses what is not the name of a model.</summary>
    /// <exception cref="DroverException">InvalidArgument.</exception>
    public static void Check(string name)
    {
        if (!name.StartsWith(Home, StringComparison.Ordinal) || name.IndexOf('/', Home.Length) >= 0 || name.Length == Home.Length || name[Home.Length] == '.')
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_MODEL_NAME", $"'{name}' is not the name of a model, like 'models/my-model'.");
        ObjectKey.Check(name);
    }
}
