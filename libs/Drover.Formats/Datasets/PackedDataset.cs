using System.Security.Cryptography;
using System.Text.Json;
using Drover.Errors;
using Drover.ObjectStore;

namespace Drover.Formats.Datasets;

/// <summary>
/// A packed dataset of the object store, its shards held in a local cache folder and read in place. Processes of one
/// machine may share the folder: shards lie there under their digest and appear whole.
/// </summary>
public sealed class PackedDataset : IRowSource, IDisposable
{
    private const int BufferBytes = 1 << 20;
    private readonly List<ArrowShard> _shards = [];
    private readonly List<long> _firstRows = [];

    private PackedDataset(string prefix, DatasetManifest manifest, string manifestHash)
    {
        Prefix = prefix;
        Manifest = manifest;
        ManifestHash = manifestHash;
    }

    /// <summary>The folder, e.g. "datasets/mine".</summary>
    public string Prefix { get; }

    /// <summary>Its manifest.</summary>
    public DatasetManifest Manifest { get; }

    /// <summary>SHA-256 of the manifest's bytes, lower-case hex: the identity of the dataset.</summary>
    public string ManifestHash { get; }

    /// <inheritdoc />
    public long RowCount => Manifest.Rows;

    /// <inheritdoc />
    public int MaxLength => Manifest.MaxLength;

    /// <summary>Reads the manifest, brings every shard that is not there yet into <paramref name="cacheFolder"/> and checks digests.</summary>
    /// <exception cref="DroverException">NotFound (no dataset), DataLoss (damaged manifest or shard, naming it), ResourceExhausted (disk full).</exception>
    public static async Task<PackedDataset> OpenAsync(IObjectStore store, string prefix, string cacheFolder, CancellationToken cancellation)
    {
        (DatasetManifest manifest, string hash) = await ReadManifestAsync(store, prefix, cancellation).ConfigureAwait(false);
        Directory.CreateDirectory(cacheFolder);
        var dataset = new PackedDataset(prefix, manifest, hash);
        try
        {
            long rows = 0;
            foreach (DatasetShard shard in manifest.Shards)
            {
                string key = ObjectKey.Join(prefix, shard.File);
                string path = await ShardCache.BringAsync(store, key, shard, cacheFolder, cancellation).ConfigureAwait(false);
                var opened = ArrowShard.Open(path, key);
                dataset._shards.Add(opened);
                if (opened.Rows != shard.Rows)
                    throw Damaged(key, $"it holds {opened.Rows} rows, and the manifest says {shard.Rows}");
                dataset._firstRows.Add(rows);
                rows += shard.Rows;
            }

            if (rows != manifest.Rows)
                throw Damaged(ObjectKey.Join(prefix, DatasetManifest.FileName), $"its shards hold {rows} rows, and it says {manifest.Rows}");
            return dataset;
        }
        catch
        {
            dataset.Dispose();
            throw;
        }
    }

    /// <summary>Reads a dataset's manifest and its hash without touching the rows.</summary>
    /// <exception cref="DroverException">NotFound or DataLoss.</exception>
    public static async Task<(DatasetManifest Manifest, string Hash)> ReadManifestAsync(IObjectStore store, string prefix, CancellationToken cancellation)
    {
        string key = ObjectKey.Join(prefix, DatasetManifest.FileName);
        if (await store.FindAsync(key, cancellation).ConfigureAwait(false) is null)
            throw new DroverException(FailureCode.NotFound, "DATASET_NOT_FOUND", $"There is no dataset at '{prefix}': it has no {DatasetManifest.FileName}, which a build writes last.");
        byte[] bytes = await store.ReadAllBytesAsync(key, cancellation).ConfigureAwait(false);
        try
        {
            DatasetManifest manifest = JsonSerializer.Deserialize(bytes, DatasetManifestJson.Default.DatasetManifest) ?? throw new JsonException("it is null");
            return (manifest, Convert.ToHexStringLower(SHA256.HashData(bytes)));
        }
        catch (JsonException e)
        {
            throw Damaged(key, e.Message, e);
        }
    }

    /// <inheritdoc />
    /// <exception cref="DroverException">OutOfRange.</exception>
    public PackedRow Read(long rowId)
    {
        if (rowId < 0 || rowId >= RowCount)
            throw new DroverException(FailureCode.OutOfRange, "ROW_OUT_OF_RANGE", $"Dataset '{Prefix}' has {RowCount} rows; row {rowId} was asked for.");
        // The last shard that starts at or before the row: one without rows starts where its neighbour does.
        int low = 0;
        int high = _firstRows.Count - 1;
        while (low < high)
        {
            int middle = (low + high + 1) / 2;
            if (_firstRows[middle] <= rowId)
                low = middle;
            else
                high = middle - 1;
        }

        return _shards[low].Read(rowId - _firstRows[low]);
    }

    /// <inheritdoc />
    public void Dispose() => _shards.ForEach(s => s.Dispose());

    private static DroverException Damaged(string key, string why, Exception? inner = null) =>
        new(FailureCode.DataLoss, "DAMAGED_DATASET", $"'{key}' is damaged: {why}. Build the dataset again.", inner);

    /// <summary>Shards on the local disk, under their digest.</summary>
    private static class ShardCache
    {
        public static async Task<string> BringAsync(IObjectStore store, string key, DatasetShard shard, string folder, CancellationToken cancellation)
        {
            string path = Path.Combine(folder, shard.Sha256 + ".arrow");
            // A cached file is hashed again: a disk that flipped a bit must not train a model.
            if (File.Exists(path) && await DigestAsync(path, cancellation).ConfigureAwait(false) == shard.Sha256)
                return path;
            string temporary = Path.Combine(folder, $".incoming-{Guid.NewGuid():N}");
            try
            {
                await DownloadAsync(store, key, temporary, cancellation).ConfigureAwait(false);
                string found = await DigestAsync(temporary, cancellation).ConfigureAwait(false);
                if (found != shard.Sha256)
                    throw Damaged(key, $"its SHA-256 is {found}, and the manifest says {shard.Sha256}");
                File.Move(temporary, path, overwrite: true);
                return path;
            }
            finally
            {
                File.Delete(temporary);
            }
        }

        private static async Task DownloadAsync(IObjectStore store, string key, string path, CancellationToken cancellation)
        {
            Stream source;
            try
            {
                source = await store.OpenReadAsync(key, 0, null, cancellation).ConfigureAwait(false);
            }
            catch (DroverException e) when (e.Code == FailureCode.NotFound)
            {
                throw Damaged(key, "it is gone", e);
            }

            await using (source.ConfigureAwait(false))
            {
                var target = new FileStream(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1, FileOptions.Asynchronous);
                await using (target.ConfigureAwait(false))
                    await source.CopyToAsync(target, BufferBytes, cancellation).ConfigureAwait(false);
            }
        }

        private static async Task<string> DigestAsync(string path, CancellationToken cancellation)
        {
            var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, BufferBytes, FileOptions.Asynchronous | FileOptions.SequentialScan);
            await using (file.ConfigureAwait(false))
                return Convert.ToHexStringLower(await SHA256.HashDataAsync(file, cancellation).ConfigureAwait(false));
        }
    }
}
