using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Drover.Errors;

namespace Drover.ObjectStore;

/// <summary>
/// A folder on disk as an object store: one file an object. A put writes a temporary file beside the others, flushes it,
/// and renames it into place, so a reader or a crash never meets half an object.
/// </summary>
public sealed partial class FolderObjectStore : IObjectStore
{
    private const string TemporaryFolder = ".incoming";
    private const int BufferBytes = 1 << 20;
    private static readonly TimeSpan LeftoverAge = TimeSpan.FromDays(1);
    private readonly string _root;
    private readonly TimeProvider _time;

    /// <summary>Uses <paramref name="root"/>, made when it is not there; removes what puts that crashed left a day ago.</summary>
    public FolderObjectStore(string root, TimeProvider? time = null)
    {
        _root = Path.GetFullPath(root);
        _time = time ?? TimeProvider.System;
        Directory.CreateDirectory(Path.Combine(_root, TemporaryFolder));
        RemoveLeftovers(LeftoverAge, dryRun: false);
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
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException || e is IOException or UnauthorizedAccessException && (Directory.Exists(path) || HasFileAbove(path)))
        {
            throw ObjectStoreReading.Missing(key);
        }

        if (offset < 0 || offset > file.Length || length < 0 || length > file.Length - offset)
        {
            long size = file.Length;
            file.Dispose();
            throw new DroverException(FailureCode.OutOfRange, "RANGE_PAST_END", $"Object '{key}' has {size} bytes; bytes {offset} to {offset + length} were asked for.");
        }

        file.Position = offset;
        return ValueTask.FromResult<Stream>(length is { } n ? new BoundedReadStream(file, n) : file);
    }

    /// <inheritdoc />
    public ValueTask<ObjectInfo> PutAsync(string key, Stream content, PutCondition condition, CancellationToken cancellation) =>
        StoreAsync(key, temporary => CopyAsync(content, temporary, cancellation), condition);

    /// <inheritdoc />
    public ValueTask<ObjectInfo> PutFileAsync(string key, FileStream file, PutCondition condition, CancellationToken cancellation) =>
        StoreAsync(
            key,
            async temporary =>
            {
                file.Flush(flushToDisk: true);
                if (!OperatingSystem.IsWindows() && Link(file.Name, temporary) == 0)
                    return;
                // Another disk, or one that knows no links.
                file.Position = 0;
                await CopyAsync(file, temporary, cancellation).ConfigureAwait(false);
            },
            condition);

    /// <inheritdoc />
    public async IAsyncEnumerable<ObjectInfo> ListAsync(string prefix, [EnumeratorCancellation] CancellationToken cancellation)
    {
        await Task.CompletedTask.ConfigureAwait(false);
        ObjectKey.CheckPrefix(prefix);
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

    /// <inheritdoc />
    public ValueTask<IReadOnlyList<ObjectInfo>> RemoveLeftoversAsync(TimeSpan age, bool dryRun, CancellationToken cancellation) => ValueTask.FromResult<IReadOnlyList<ObjectInfo>>(RemoveLeftovers(age, dryRun));

    private List<ObjectInfo> RemoveLeftovers(TimeSpan age, bool dryRun)
    {
        DateTime old = _time.GetUtcNow().UtcDateTime - age;
        List<ObjectInfo> removed = [];
        foreach (FileInfo leftover in new DirectoryInfo(Path.Combine(_root, TemporaryFolder)).EnumerateFiles())
        {
            // Gone meanwhile: its put has ended.
            if (Describe($"{TemporaryFolder}/{leftover.Name}", leftover) is not { } info || leftover.LastWriteTimeUtc > old)
                continue;
            removed.Add(info);
            if (!dryRun)
                leftover.Delete();
        }

        return removed;
    }

    // ENOSPC as .NET reports it on Linux.
    private const int DiskFull = 28;

    private static async Task CopyAsync(Stream content, string path, CancellationToken cancellation)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(BufferBytes);
        var file = new FileStream(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1, FileOptions.Asynchronous);
        try
        {
            var behind = new WriteBehind(file);
            for (int count; (count = await content.ReadAsync(buffer, cancellation).ConfigureAwait(false)) > 0;)
            {
                await file.WriteAsync(buffer.AsMemory(0, count), cancellation).ConfigureAwait(false);
                behind.Written();
            }

            file.Flush(flushToDisk: true);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
            await file.DisposeAsync().ConfigureAwait(false);
        }
    }

    private async ValueTask<ObjectInfo> StoreAsync(string key, Func<string, Task> writeTo, PutCondition condition)
    {
        string path = PathOf(key);
        string temporary = Path.Combine(_root, TemporaryFolder, Guid.NewGuid().ToString("N"));
        try
        {
            await writeTo(temporary).ConfigureAwait(false);
            // The kernel's own time stamps are milliseconds apart: two quick puts of one size would have one tag.
            File.SetLastWriteTimeUtc(temporary, _time.GetUtcNow().UtcDateTime);
            Publish(key, temporary, path, condition);
            return Describe(key, new FileInfo(path))!;
        }
        catch (IOException e) when (e.HResult == DiskFull)
        {
            throw new DroverException(FailureCode.ResourceExhausted, "DISK_FULL", $"The disk of the object store is full: '{key}' was not stored. Free space and try again.", e);
        }
        catch (UnauthorizedAccessException e)
        {
            throw new DroverException(FailureCode.PermissionDenied, "OBJECT_STORE_DENIED", $"The object store's folder '{_root}' may not be written: '{key}' was not stored.", e);
        }
        finally
        {
            File.Delete(temporary);
        }
    }

    private static void Publish(string key, string temporary, string path, PutCondition condition)
    {
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            if (condition == PutCondition.None)
                File.Move(temporary, path, overwrite: true);
            else
                PublishNew(temporary, path);
        }
        catch (IOException e) when (condition == PutCondition.IfAbsent && File.Exists(path))
        {
            throw new DroverException(FailureCode.AlreadyExists, "OBJECT_EXISTS", $"There is an object '{key}' already.", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException && (Directory.Exists(path) || HasFileAbove(path)))
        {
            throw new DroverException(FailureCode.FailedPrecondition, "KEY_IS_FOLDER", $"'{key}' cannot be stored: in a folder on disk, an object and a folder cannot have one name.", e);
        }
    }

    /// <summary>File.Move without overwriting looks first and renames then, so two may win; a link is made by one.</summary>
    private static void PublishNew(string temporary, string path)
    {
        if (OperatingSystem.IsWindows())
            File.Move(temporary, path, overwrite: false);
        else if (Link(temporary, path) != 0)
            throw new IOException($"link: error {Marshal.GetLastPInvokeError()} for '{path}'");
    }

    [LibraryImport("libc", EntryPoint = "link", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Link(string existing, string path);

    private static bool HasFileAbove(string path)
    {
        for (string? folder = Path.GetDirectoryName(path); folder is not null; folder = Path.GetDirectoryName(folder))
        {
            if (File.Exists(folder))
                return true;
        }

        return false;
    }

    private static ObjectInfo? Describe(string key, FileInfo file) =>
        file.Exists ? new ObjectInfo(key, file.Length, $"{file.LastWriteTimeUtc.Ticks:x}-{file.Length:x}") : null;

    private string PathOf(string key)
    {
        if (key == TemporaryFolder || key.StartsWith(TemporaryFolder + "/", StringComparison.Ordinal))
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_OBJECT_KEY", $"Object key '{key}': the store keeps '{TemporaryFolder}' for itself.");
        return Path.Combine(_root, ObjectKey.Check(key).Replace('/', Path.DirectorySeparatorChar));
    }
}
