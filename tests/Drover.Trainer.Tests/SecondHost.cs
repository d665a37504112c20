using System.Diagnostics;
using System.Globalization;
using Drover.Testing;

namespace Drover.Trainer.Tests;

/// <summary>
/// A second machine, as far as ranks can tell: a network namespace with a host name of its own, joined to this machine by one link
/// that can be cut. Files and processes are shared. Needs root and iproute2.
/// </summary>
public sealed class SecondHost : IDisposable
{
    private const string Tool = "ip";
    private static int _count;
    private readonly TemporaryFolder _folder = new();
    private readonly string _link;

    private SecondHost(string name, int subnet)
    {
        (Name, _link) = (name, name + "-a");
        string here = string.Create(CultureInfo.InvariantCulture, $"10.177.{subnet}.1"), there = string.Create(CultureInfo.InvariantCulture, $"10.177.{subnet}.2");
        Run("netns", "add", Name);
        Run("link", "add", _link, "type", "veth", "peer", "name", Name + "-b", "netns", Name);
        Run("addr", "add", here + "/24", "dev", _link);
        Run("link", "set", _link, "up");
        Run("-n", Name, "addr", "add", there + "/24", "dev", Name + "-b");
        Run("-n", Name, "link", "set", Name + "-b", "up");
        Run("-n", Name, "link", "set", "lo", "up");
        File.WriteAllText(_folder["hosts"], $"{here} slots=1\n{there} slots=1\n");
        // What ssh would do: AGENT [options] HOST COMMAND...
        File.WriteAllText(_folder["agent"], $"while [ \"${{1#-}}\" != \"$1\" ]; do shift; done\nshift\nexec ip netns exec {Name} unshare --uts sh -c 'hostname {Name}; exec sh -c \"$*\"' - \"$*\"\n");
    }

    /// <summary>Its host name.</summary>
    public string Name { get; }

    /// <summary>For a service that starts one rank here and one there.</summary>
    public string[] TrainerArguments => [$"--Trainer:HostFile={_folder["hosts"]}", $"--Trainer:LaunchAgent=sh {_folder["agent"]}"];

    /// <summary>Makes one; skips the test, saying so, where that is not allowed.</summary>
    public static SecondHost Start()
    {
        Assert.SkipUnless(Environment.UserName == "root", "a second host needs root (network namespaces)");
        int number = Interlocked.Increment(ref _count);
        string name = string.Create(CultureInfo.InvariantCulture, $"dr{Environment.ProcessId % 1_000_000}{number}");
        Assert.SkipUnless(TryRun(["netns", "add", name + "t"]) is null, "a second host needs iproute2 and the right to make network namespaces");
        Run("netns", "delete", name + "t");
        return new SecondHost(name, (Environment.ProcessId + number) % 256);
    }

    /// <summary>Nothing goes through the link any more, in either direction; nobody is told.</summary>
    public void CutOff() => Run("link", "set", _link, "down");

    /// <summary>Repairs the link.</summary>
    public void Reconnect() => Run("link", "set", _link, "up");

    public void Dispose()
    {
        // The link goes with the namespace.
        Run("netns", "delete", Name);
        _folder.Dispose();
    }

    private static void Run(params string[] arguments) => Assert.Null(TryRun(arguments));

    private static string? TryRun(string[] arguments)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(Tool, arguments) { RedirectStandardError = true })!;
            string errors = process.StandardError.ReadToEnd();
            process.WaitForExit();
            return process.ExitCode == 0 ? null : $"ip {string.Join(' ', arguments)}: {errors}";
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            return e.Message;
        }
    }
}
