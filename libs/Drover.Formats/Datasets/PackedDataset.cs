using System.Security.Cryptography;
using System.Text.Json;
using Drover.Errors;
using Drover.ObjectStore;

namespace Drover.Formats.Datasets;

/// <summary>
/// A packed dataset of the object store. Rows are read a record batch at a time, by range, when they are asked for or announced,
/// and kept in a cache folder on disk (see <see cref="BatchCache"/>).
/// </summary>
public sealed class PackedDataset : IRowSource, IDisposable
{
    private readonly BatchCache _cache;
    private readonly long[] _firstRows;

    private PackedDataset(IObjectStore store, string prefix, DatasetManifest manifest, string manifestHash, string cacheFolder)
    {
        Prefix = prefix;
        Manifest = manifest;
        ManifestHash = manifestHash;
        ShardBatch[] batches = [.. manifest.Shards.SelectMany(s => s.Batches.Select(b => new ShardBatch(ObjectKey.Join(prefix, s.File), b)))];
        _firstRows = new long[batches.Length];
        for (int i = 1; i < batches.Length; i++)
            _firstRows[i] = _firstRows[i - 1] + batches[i - 1].Batch.Rows;
        _cache = new BatchCache(store, batches, cacheFolder);
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

    /// <summary>Reads the manifest and checks that every shard is there in its size; rows come later.</summary>
    /// <exception cref="DroverException">NotFound (no dataset), DataLoss (damaged manifest, or a shard that is gone or of another size, naming it).</exception>
    public static async Task<PackedDataset> OpenAsync(IObjectStore store, string prefix, string cacheFolder, CancellationToken cancellation)
    {
        (DatasetManifest manifest, string hash) = await ReadManifestAsync(store, prefix, cancellation).ConfigureAwait(false);
        foreach (DatasetShard shard in manifest.Shards)
        {
            string key = ObjectKey.Join(prefix, shard.File);
            ObjectInfo? found = await store.FindAsync(key, cancellation).ConfigureAwait(false);
            if (found?.Size != shard.Bytes)
                throw Damaged(key, found is null ? "it is gone" : $"it has {found.Size} bytes, and the manifest says {shard.Bytes}");
            long rows = shard.Batches.Sum(b => (long)b.Rows);
            if (rows != shard.Rows)
                throw Damaged(ObjectKey.Join(prefix, DatasetManifest.FileName), $"the batches of '{shard.File}' hold {rows} rows, and the shard {shard.Rows}");
        }

        long all = manifest.Shards.Sum(s => s.Rows);
        if (all != manifest.Rows)
            throw Damaged(ObjectKey.Join(prefix, DatasetManifest.FileName), $"its shards hold {all} rows, and it says {manifest.Rows}");
        Directory.CreateDirectory(cacheFolder);
        return new PackedDataset(store, prefix, manifest, hash, cacheFolder);
    }

    /// <summary>Reads a dataset's manifest and its hash without touching the rows.</summary>
    /// <exception cref="DroverException">NotFound, DataLoss, or FailedPrecondition for one of another version of Drover.</exception>
    public static async Task<(DatasetManifest Manifest, string Hash)> ReadManifestAsync(IObjectStore store, string prefix, CancellationToken cancellation)
    {
        string key = ObjectKey.Join(prefix, DatasetManifest.FileName);
        if (await store.FindAsync(key, cancellation).ConfigureAwait(false) is null)
            throw new DroverException(FailureCode.NotFound, "DATASET_NOT_FOUND", $"There is no dataset at '{prefix}': it has no {DatasetManifest.FileName}, which a build writes last.");
        byte[] bytes = await store.ReadAllBytesAsync(key, cancellation).ConfigureAwait(false);
        try
        {
            DatasetManifest manifest = JsonSerializer.Deserialize(bytes, DatasetManifestJson.Default.DatasetManifest) ?? throw new JsonException("it is null");
            if (manifest.Version != DatasetManifest.CurrentVersion)
                throw new DroverException(FailureCode.FailedPrecondition, "DATASET_VERSION", $"'{prefix}' was built by another version of Drover (layout {manifest.Version}, this one reads {DatasetManifest.CurrentVersion}). Build it again under another name.");
            return (manifest, Convert.ToHexStringLower(SHA256.HashData(bytes)));
        }
        catch (JsonException e)
        {
            throw Damaged(key, e.Message, e);
        }
    }

    /// <inheritdoc />
    /// <exception cref="DroverException">OutOfRange; DataLoss when the stored bytes are not those of the manifest; Unavailable.</exception>
    public PackedRow Read(long rowId)
    {
        int batch = BatchOf(rowId);
        return _cache.Open(batch).Read(rowId - _firstRows[batch]);
    }

    /// <inheritdoc />
    public void Prefetch(IEnumerable<long> rowIds)
    {
        foreach (int batch in rowIds.Select(BatchOf).Distinct())
            _cache.Fetch(batch);
    }

    /// <inheritdoc />
    public void Dispose() => _cache.Dispose();

    internal static DroverException Damaged(string key, string why, Exception? inner = null) =>
        new(FailureCode.DataLoss, "DAMAGED_DATASET", $"'{key}' is damaged: {why}. Build the dataset again.", inner);

    private int BatchOf(long rowId)
    {
        if (rowId < 0 || rowId >= RowCount)
            throw new DroverException(FailureCode.OutOfRange, "ROW_OUT_OF_RANGE", $"Dataset '{Prefix}' has {RowCount} rows; row {rowId} was asked for.");
        int found = Array.BinarySearch(_firstRows, rowId);
        return found < 0 ? ~found - 1 : found;
    }
}
