namespace Drover.ObjectStore;

/// <summary>Temporary files for what has to be read twice.</summary>
internal static class SpoolFile
{
    /// <summary>An empty one, gone when it is closed, and when its process is killed.</summary>
    public static FileStream Open()
    {
        string path = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        if (OperatingSystem.IsWindows())
            return new FileStream(path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, 1, FileOptions.Asynchronous | FileOptions.DeleteOnClose);
        // DeleteOnClose is done by the process: kill -9 would leave the file, as large as a shard. Without a name nothing is left.
        var file = new FileStream(path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, 1, FileOptions.Asynchronous);
        File.Delete(path);
        return file;
    }
}
