using Drover.Errors;

namespace Drover.Client;

/// <summary>
/// Keys of gateways: DROVER_KEY, else a file a gateway under $XDG_CONFIG_HOME/drover/keys (~/.config), that `drover login` writes, and a
/// gateway on this machine's loopback at its start. There is no option for a key: every user of a machine sees the command lines of all.
/// </summary>
public static class KeyFile
{
    /// <summary>The key for a gateway, or an empty text.</summary>
    public static string Find(Uri gateway)
    {
        if (Environment.GetEnvironmentVariable("DROVER_KEY") is { Length: > 0 } key)
            return key.Trim();
        string path = PathOf(gateway);
        return File.Exists(path) ? File.ReadAllText(path).Trim() : "";
    }

    /// <summary>Keeps the key of a gateway, readable by this user only.</summary>
    /// <returns>The file.</returns>
    /// <exception cref="DroverException">InvalidArgument for a text that is no key.</exception>
    public static string Write(Uri gateway, string key)
    {
        if (!key.StartsWith("drover_", StringComparison.Ordinal))
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_KEY", "That is no key: a key begins with drover_.");
        string path = PathOf(gateway);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        var options = new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        using var writer = new StreamWriter(path, options);
        writer.WriteLine(key);
        return path;
    }

    /// <summary>Forgets the key of a gateway.</summary>
    public static void Delete(Uri gateway) => File.Delete(PathOf(gateway));

    private static string PathOf(Uri gateway)
    {
        string home = Environment.GetEnvironmentVariable("XDG_CONFIG_HOME") is { Length: > 0 } folder ? folder
            : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".config");
        // A loopback has two names.
        string host = gateway.Host == "localhost" ? "127.0.0.1" : gateway.Host.Trim('[', ']');
        return Path.Combine(home, "drover", "keys", $"{host}_{gateway.Port}");
    }
}
