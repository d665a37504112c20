using System.Collections.Concurrent;
using System.IO.Hashing;
using Drover.Errors;
using Drover.ObjectStore;

namespace Drover.Formats.Datasets;

/// <summary>A record batch and the object it lies in.</summary>
internal readonly record struct ShardBatch(string Key, ArrowBatch Batch);

/// <summary>
/// Record batches on the local disk, each a small Arrow stream under its digest: brought by range when first needed, in the background
/// where announced, checked, and read in place. Processes of one machine may share the folder: files appear whole. A file that was there
/// before is checked again, because a disk that flipped a bit must not train a model.
/// </summary>
internal sealed class BatchCache(IObjectStore store, ShardBatch[] batches, string folder) : IDisposable
{
    // Maps held open; a batch is some megabytes, and the number of maps of a process is limited.
    private const int MostOpen = 512;
    private const int FetchesAtOnce = 4;
    private readonly ConcurrentDictionary<int, Lazy<Task<string>>> _fetches = new();
    private readonly Dictionary<int, ArrowShard> _open = [];
    private readonly Queue<int> _opened = new();
    private readonly SemaphoreSlim _slots = new(FetchesAtOnce);
    private readonly CancellationTokenSource _stop = new();

    /// <summary>Begins to bring a batch, unless that was done before.</summary>
    public void Fetch(int batch) => _ = Fetching(batch).Value;

    /// <summary>A batch to read from, waited for where it is not there yet. For one thread.</summary>
    public ArrowShard Open(int batch)
    {
        if (_open.TryGetValue(batch, out ArrowShard? open))
            return open;
        string path;
        try
        {
            path = Fetching(batch).Value.GetAwaiter().GetResult();
        }
        catch (DroverException)
        {
            // The next one who asks tries again.
            _fetches.TryRemove(batch, out _);
            throw;
        }

        if (_opened.Count == MostOpen && _open.Remove(_opened.Dequeue(), out ArrowShard? oldest))
            oldest.Dispose();
        var opened = ArrowShard.Open(path, batches[batch].Key);
        if (opened.Rows != batches[batch].Batch.Rows)
            throw PackedDataset.Damaged(batches[batch].Key, $"the batch at {batches[batch].Batch.Offset} holds {opened.Rows} rows, and the manifest says {batches[batch].Batch.Rows}");
        _open.Add(batch, opened);
        _opened.Enqueue(batch);
        return opened;
    }

    public void Dispose()
    {
        _stop.Cancel();
        foreach (Lazy<Task<string>> fetch in _fetches.Values)
            fetch.Value.ContinueWith(t => t.Exception, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default).Wait();
        foreach (ArrowShard open in _open.Values)
            open.Dispose();
        _slots.Dispose();
        _stop.Dispose();
    }

    private Lazy<Task<string>> Fetching(int batch) =>
        _fetches.GetOrAdd(batch, b => new Lazy<Task<string>>(() => Task.Run(() => BringAsync(batches[b]))));

    private async Task<string> BringAsync(ShardBatch wanted)
    {
        await _slots.WaitAsync(_stop.Token).ConfigureAwait(false);
        try
        {
            string path = Path.Combine(folder, wanted.Batch.Xxh128 + ".arrow");
            if (await IsWholeAsync(path, wanted.Batch).ConfigureAwait(false))
                return path;
            byte[] bytes = await ReadAsync(wanted).ConfigureAwait(false);
            string temporary = Path.Combine(folder, $".incoming-{Guid.NewGuid():N}");
            try
            {
                await WriteAsync(temporary, bytes).ConfigureAwait(false);
                File.Move(temporary, path, overwrite: true);
            }
            finally
            {
                File.Delete(temporary);
            }

            return path;
        }
        finally
        {
            _slots.Release();
        }
    }

    private async Task<byte[]> ReadAsync(ShardBatch wanted)
    {
        byte[] bytes = new byte[wanted.Batch.Bytes];
        try
        {
            await store.ReadRangeAsync(wanted.Key, wanted.Batch.Offset, bytes, _stop.Token).ConfigureAwait(false);
        }
        catch (DroverException e) when (e.Code is FailureCode.NotFound or FailureCode.OutOfRange)
        {
            throw PackedDataset.Damaged(wanted.Key, e.Code == FailureCode.NotFound ? "it is gone" : "it is shorter than the manifest says", e);
        }

        string found = Convert.ToHexStringLower(XxHash128.Hash(bytes));
        return found == wanted.Batch.Xxh128
            ? bytes
            : throw PackedDataset.Damaged(wanted.Key, $"the XXH128 of its bytes from {wanted.Batch.Offset} is {found}, and the manifest says {wanted.Batch.Xxh128}");
    }

    private async Task WriteAsync(string path, byte[] bytes)
    {
        try
        {
            var file = new FileStream(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1, FileOptions.Asynchronous);
            await using (file.ConfigureAwait(false))
            {
                await file.WriteAsync(ArrowRowWriter.SchemaBytes, _stop.Token).ConfigureAwait(false);
                await file.WriteAsync(bytes, _stop.Token).ConfigureAwait(false);
            }
        }
        catch (IOException e)
        {
            throw new DroverException(FailureCode.ResourceExhausted, "CACHE_NOT_WRITTEN", $"Rows cannot be kept in the cache folder '{folder}': {e.Message} Free space there, or choose another folder.", e);
        }
    }

    private async Task<bool> IsWholeAsync(string path, ArrowBatch batch)
    {
        var file = new FileInfo(path);
        if (!file.Exists || file.Length != ArrowRowWriter.SchemaBytes.Length + batch.Bytes)
            return false;
        byte[] bytes = await File.ReadAllBytesAsync(path, _stop.Token).ConfigureAwait(false);
        return bytes.AsSpan().StartsWith(ArrowRowWriter.SchemaBytes.Span)
            && Convert.ToHexStringLower(XxHash128.Hash(bytes.AsSpan(ArrowRowWriter.SchemaBytes.Length))) == batch.Xxh128;
    }
}
