using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Drover.Errors;
using Drover.ObjectStore;

namespace Drover.Checkpoint.Imports;

/// <summary>
/// A folder of another bucket of the S3 store. A bucket has no revisions: what it holds when an import begins is the commit, and an import
/// that goes on refuses what has changed since.
/// </summary>
/// <param name="bucket">Read only.</param>
/// <param name="address">E.g. "s3://models".</param>
/// <param name="folder">Where the model lies in it.</param>
internal sealed class BucketSource(IObjectStore bucket, string address, string folder) : IImportSource
{
    /// <summary>What addresses of buckets begin with.</summary>
    public const string Scheme = "s3://";

    private readonly Dictionary<string, ObjectInfo> _objects = new(StringComparer.Ordinal);

    /// <inheritdoc />
    public async Task<SourceListing> DescribeAsync(string revision, CancellationToken cancellation)
    {
        var text = new StringBuilder();
        _objects.Clear();
        await foreach (ObjectInfo info in bucket.ListAsync(folder + "/", cancellation).ConfigureAwait(false))
        {
            _objects[info.Key[(folder.Length + 1)..]] = info;
            text.Append(CultureInfo.InvariantCulture, $"{info.Key}\n{info.Size}\n{info.Tag}\n");
        }

        string commit = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text.ToString())));
        if (revision != ImportRules.Main && revision != commit)
            throw new DroverException(FailureCode.Aborted, "SOURCE_CHANGED", $"'{folder}' of {address} has other files than when this import began. Delete the model and import it again.");
        return new SourceListing(commit, [.. _objects.Select(o => new SourceFile(o.Key, o.Value.Size, null, null))]);
    }

    /// <inheritdoc />
    public async Task<Stream> OpenAsync(string commit, SourceFile file, Action<int> onBytes, CancellationToken cancellation)
    {
        ObjectInfo listed = _objects[file.Path];
        if (await bucket.FindAsync(listed.Key, cancellation).ConfigureAwait(false) is not { } now || now.Tag != listed.Tag)
            throw new DroverException(FailureCode.Aborted, "SOURCE_CHANGED", $"'{listed.Key}' of {address} changed while it was imported. Delete the model and import it again.");
        return new CheckedStream(await bucket.OpenReadAsync(listed.Key, 0, null, cancellation).ConfigureAwait(false), file, folder, onBytes);
    }

    /// <inheritdoc />
    public void Dispose() => (bucket as IDisposable)?.Dispose();
}
