using System.Runtime.CompilerServices;
using Drover.Errors;

namespace Drover.ObjectStore;

/// <summary>
/// A folder on disk as an object store: one file an object. A put writes a temporary file beside the others, flushes it,
/// and renames it into place, so a reader or a crash never meets half an object.
/// </summary>
public sealed class FolderObjectStore : IObjectStore
{
    private const string TemporaryFolder = ".incoming";
    private const int BufferBytes = 1 << 20;
    private readonly string _root;

    /// <summary>Uses <paramref name="root"/>, made when it is not there.</summary>
    public FolderObjectStore(string root)
    {
        _root = Path.GetFullPath(root);
        Directory.CreateDirectory(Path.Combine(_root, TemporaryFolder));
    }

    /// <inheritdoc />
    public ValueTask<ObjectInfo?> FindAsync(string key, CancellationToken cancellation)
    {
        var file = new FileInfo(PathOf(key));
        return ValueTask.FromResult(file.Exists ? Describe(key, file) : null);
    }

    /// <inheritdoc />
    public ValueTask<Stream> OpenReadAsync(string key, long offset, long? length, CancellationToken cancellation)
    {
        string path = PathOf(key);
        FileStream file;
        try
        {
            file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, 1, FileOptions.Asynchronous);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException || (e is UnauthorizedAccessException && Directory.Exists(path)))
        {
            throw ObjectStoreReading.Missing(key);
        }

        if (offset < 0 || offset > file.Length || length < 0 || offset + (length ?? 0) > file.Length)
        {
            long size = file.Length;
            file.Dispose();
            throw new DroverException(FailureCode.OutOfRange, "RANGE_PAST_END", $"Object '{key}' has {size} bytes; bytes {offset} to {offset + length} were asked for.");
        }

        file.Position = offset;
        return ValueTask.FromResult<Stream>(length is { } n ? new BoundedReadStream(file, n) : file);
    }

    /// <inheritdoc />
    public async ValueTask<ObjectInfo> PutAsync(string key, Stream content, PutCondition condition, CancellationToken cancellation)
    {
        string path = PathOf(key);
        string temporary = Path.Combine(_root, TemporaryFolder, Guid.NewGuid().ToString("N"));
        try
        {
            var file = new FileStream(temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1, FileOptions.Asynchronous);
            await using (file.ConfigureAwait(false))
            {
                await content.CopyToAsync(file, BufferBytes, cancellation).ConfigureAwait(false);
                file.Flush(flushToDisk: true);
            }

            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            Publish(key, temporary, path, condition);
            return Describe(key, new FileInfo(path))!;
        }
        catch (IOException e) when (e.HResult == DiskFull)
        {
            throw new DroverException(FailureCode.ResourceExhausted, "DISK_FULL", $"The disk of the object store is full: '{key}' was not stored. Free space and try again.", e);
        }
        finally
        {
            File.Delete(temporary);
        }
    }

    /// <inheritdoc />
    public async IAsyncEnumerable<ObjectInfo> ListAsync(string prefix, [EnumeratorCancellation] CancellationToken cancellation)
    {
        await Task.CompletedTask.ConfigureAwait(false);
        int slash = prefix.LastIndexOf('/');
        string folder = slash < 0 ? _root : PathOf(prefix[..slash]);
        if (!Directory.Exists(folder))
            yield break;
        var keys = Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories)
            .Select(path => Path.GetRelativePath(_root, path).Replace(Path.DirectorySeparatorChar, '/'))
            .Where(key => key.StartsWith(prefix, StringComparison.Ordinal) && !key.StartsWith(TemporaryFolder + "/", StringComparison.Ordinal))
            .Order(StringComparer.Ordinal)
            .ToList();
        foreach (string key in keys)
        {
            cancellation.ThrowIfCancellationRequested();
            // Gone meanwhile: then it is not listed.
            if (Describe(key, new FileInfo(Path.Combine(_root, key))) is { } info)
                yield return info;
        }
    }

    /// <inheritdoc />
    public ValueTask DeleteAsync(string key, CancellationToken cancellation)
    {
        string path = PathOf(key);
        if (File.Exists(path))
            File.Delete(path);
        return ValueTask.CompletedTask;
    }

    // ENOSPC as .NET reports it on Linux.
    private const int DiskFull = 28;

    private static void Publish(string key, string temporary, string path, PutCondition condition)
    {
        try
        {
            File.Move(temporary, path, overwrite: condition == PutCondition.None);
        }
        catch (IOException e) when (condition == PutCondition.IfAbsent && File.Exists(path))
        {
            throw new DroverException(FailureCode.AlreadyExists, "OBJECT_EXISTS", $"There is an object '{key}' already.", e);
        }
    }

    private static ObjectInfo? Describe(string key, FileInfo file) =>
        file.Exists ? new ObjectInfo(key, file.Length, $"{file.LastWriteTimeUtc.Ticks:x}-{file.Length:x}") : null;

    private string PathOf(string key) => Path.Combine(_root, ObjectKey.Check(key).Replace('/', Path.DirectorySeparatorChar));
}
