namespace Drover.Hosting.Security;

/// <summary>Files that only their owner may read.</summary>
public static class PrivateFile
{
    private const UnixFileMode Owner = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>The text of a file; when it is not there, it is made with <paramref name="text"/>. Of several who make it at once, one wins and all get its text.</summary>
    public static string ReadOrMake(string path, Func<string> text)
    {
        if (!File.Exists(path))
        {
            string whole = WriteBeside(path, text());
            try
            {
                File.Move(whole, path, overwrite: false);
            }
            catch (IOException) when (File.Exists(path))
            {
                File.Delete(whole);
            }
        }

        return File.ReadAllText(path).Trim();
    }

    /// <summary>Replaces a file.</summary>
    public static void Write(string path, string text) => File.Move(WriteBeside(path, text), path, overwrite: true);

    private static string WriteBeside(string path, string text)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        if (OperatingSystem.IsWindows())
            Directory.CreateDirectory(folder);
        else
            Directory.CreateDirectory(folder, Owner | UnixFileMode.UserExecute);
        string beside = $"{path}.{Guid.NewGuid():N}";
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = Owner;
        using var writer = new StreamWriter(beside, options);
        writer.WriteLine(text);
        return beside;
    }
}
