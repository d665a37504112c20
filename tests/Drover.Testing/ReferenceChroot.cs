using System.Diagnostics;
using Xunit;

namespace Drover.Testing;

/// <summary>
/// A root folder of its own with Python, torch and transformers, to compare with. DROVER_REFERENCE_CHROOT names it; tests that need it
/// skip, saying so, where it is absent or this user may not enter it.
/// </summary>
public sealed class ReferenceChroot : IDisposable
{
    /// <summary>The environment variable that names the folder.</summary>
    public const string Variable = "DROVER_REFERENCE_CHROOT";

    private readonly string _root;
    private readonly string _work;

    private ReferenceChroot(string root)
    {
        _root = root;
        _work = Path.Combine("/tmp", "drover-test-" + Guid.NewGuid().ToString("N")[..8]);
        Directory.CreateDirectory(Outside(""));
    }

    /// <summary>The chroot; skips the running test where there is none.</summary>
    public static ReferenceChroot Require()
    {
        string? root = Environment.GetEnvironmentVariable(Variable);
        Assert.SkipWhen(string.IsNullOrEmpty(root), $"needs a folder with Python and transformers to chroot into; {Variable} names none");
        Assert.SkipUnless(File.Exists(Path.Combine(root!, "usr/bin/python3")), $"needs Python in the folder '{root}' that {Variable} names");
        Assert.SkipUnless(Environment.IsPrivilegedProcess, $"only root may chroot into '{root}'");
        return new ReferenceChroot(root!);
    }

    /// <summary>Path on this side of a file of the working folder.</summary>
    public string Outside(string name) => Path.Combine(_root + _work, name);

    /// <summary>Path on the other side.</summary>
    public string Inside(string name) => Path.Combine(_work, name);

    /// <summary>Copies a folder's files into a folder of the working folder.</summary>
    public void CopyFolder(string source, string name)
    {
        Directory.CreateDirectory(Outside(name));
        foreach (string file in Directory.GetFiles(source))
            File.Copy(file, Path.Combine(Outside(name), Path.GetFileName(file)));
    }

    /// <summary>Runs a script with Python; what it writes on its error stream is the message when it fails.</summary>
    public async Task RunAsync(string script, string[] arguments, CancellationToken cancellation)
    {
        File.Copy(script, Outside("script.py"), overwrite: true);
        var start = new ProcessStartInfo("chroot", [_root, "python3", Inside("script.py"), .. arguments]) { RedirectStandardError = true };
        start.Environment["LC_ALL"] = "C.UTF-8";
        using Process process = Process.Start(start)!;
        string error = await process.StandardError.ReadToEndAsync(cancellation);
        await process.WaitForExitAsync(cancellation);
        Assert.True(process.ExitCode == 0, $"{Path.GetFileName(script)} ended with {process.ExitCode}: {error}");
    }

    /// <inheritdoc />
    public void Dispose() => Directory.Delete(Outside(""), recursive: true);
}
