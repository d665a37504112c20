using Drover.Errors;
using Drover.Formats.Datasets;
using Drover.ObjectStore;

namespace Drover.DataPrep.Building;

/// <summary>Writes a task's rows to files of the work folder, and each file that is large enough to the object store.</summary>
internal sealed class ShardWriter(IObjectStore store, BuildPlan plan, int task, string workFolder, CancellationToken cancellation) : IDisposable
{
    /// <summary>A shard is closed when it is larger: well below the 2 GiB of an Arrow buffer, and quick to move.</summary>
    private const long ShardBytes = 256 << 20;

    private readonly List<DatasetShard> _shards = [];
    private FileStream? _file;
    private UncachedWriter? _bytes;
    private ArrowRowWriter? _writer;

    /// <summary>Adds a row of documents of these lengths; its ids and labels are to be put where the answer says.</summary>
    public RowSpace AddRow(ReadOnlySpan<int> documentLengths)
    {
        if (_writer?.ValueBytes >= ShardBytes)
            Close();
        if (_writer is null)
        {
            _file = OpenFile();
            _bytes = new UncachedWriter(_file);
            _writer = new ArrowRowWriter(_bytes);
        }

        return _writer.Add(documentLengths);
    }

    /// <summary>Stores what is left.</summary>
    public IReadOnlyList<DatasetShard> Finish()
    {
        if (_writer is not null)
            Close();
        return _shards;
    }

    public void Dispose()
    {
        _writer?.Dispose();
        _bytes?.Dispose();
        _file?.Dispose();
    }

    private FileStream OpenFile() => WorkFolder.Open(workFolder, "shard");

    private void Close()
    {
        DatasetShard shard = _writer!.Finish();
        _bytes!.Finish();
        shard = shard with { File = HuggingFaceDatasetFiles.ShardName(plan.FirstTask + task, _shards.Count, shard.Xxh128) };
        StoredOnce.Put(store, ObjectKey.Join(plan.Dataset, shard.File), _file!, shard.Bytes, cancellation);
        _shards.Add(shard);
        Dispose();
        (_writer, _bytes, _file) = (null, null, null);
    }
}

/// <summary>Objects whose name holds the digest of their content.</summary>
internal static class StoredOnce
{
    /// <summary>Stores the content, unless it is there: of two workers that do the same task, both find it.</summary>
    public static void Put(IObjectStore store, string key, FileStream content, long bytes, CancellationToken cancellation)
    {
        try
        {
            store.PutFileAsync(key, content, PutCondition.IfAbsent, cancellation).AsTask().GetAwaiter().GetResult();
        }
        catch (DroverException e) when (e.Code is FailureCode.AlreadyExists or FailureCode.Aborted)
        {
            if (store.FindAsync(key, cancellation).AsTask().GetAwaiter().GetResult()?.Size == bytes)
                return;
            store.PutFileAsync(key, content, PutCondition.None, cancellation).AsTask().GetAwaiter().GetResult();
        }
    }
}

/// <summary>Files of a worker that last as long as they are open.</summary>
internal static class WorkFolder
{
    /// <summary>A new file, to write and to read again.</summary>
    public static FileStream Open(string folder, string name)
    {
        try
        {
            Directory.CreateDirectory(folder);
            return new FileStream(Path.Combine(folder, $"{name}-{Guid.NewGuid():N}"), FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, 1 << 20, FileOptions.DeleteOnClose);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Full(folder, e);
        }
    }

    /// <summary>Whether a failure says that a disk is full.</summary>
    public static bool IsFull(IOException e) => e.HResult is 28 or unchecked((int)0x80070070);

    /// <summary>The failure for a file that cannot be written.</summary>
    public static DroverException Full(string folder, Exception e) =>
        new(FailureCode.ResourceExhausted, "WORK_FOLDER_NOT_WRITTEN", $"The work folder '{folder}' cannot be written: {e.Message} Free space there, or set Drover:DataFolder to another disk.", e);
}
