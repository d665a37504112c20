using System.Diagnostics;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Grpc.Health.V1;
using Grpc.Net.Client;

namespace Drover.Integration.Tests;

/// <summary>Drover's programs as processes: however they are put together, they are started, asked and ended the same way.</summary>
internal static class DroverPrograms
{
    /// <summary>The services, and the programs that are them alone.</summary>
    public static readonly (string Service, string Program)[] Services =
        [("tokenizer", "Drover.Tokenizer"), ("dataprep", "Drover.DataPrep"), ("trainer", "Drover.Trainer"), ("checkpoint", "Drover.Checkpoint"), ("gateway", "Drover.Gateway")];

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    /// <summary>Starts a program.</summary>
    /// <param name="program">Its name, which is that of its project.</param>
    /// <param name="log">The file that its output is added to.</param>
    /// <param name="config">Where the command line of this Drover finds its key.</param>
    /// <param name="environment">What else it is told.</param>
    public static Process Start(string program, string log, string config, IEnumerable<KeyValuePair<string, string>> environment)
    {
        // The shell only sends the output to a file, so that no pipe has to be kept empty here.
        var start = new ProcessStartInfo("/bin/sh", ["-c", "exec \"$0\" >>\"$1\" 2>&1", PathOf(program, program), log]);
        // As users run it, and unlike the other tests; the command line finds the key where the gateway puts it.
        start.Environment["DROVER_Security__Authentication"] = "keys";
        start.Environment["XDG_CONFIG_HOME"] = config;
        foreach ((string variable, string value) in environment)
            start.Environment[variable] = value;
        return Process.Start(start)!;
    }

    /// <summary>Runs the command line to its end.</summary>
    public static async Task<(int Code, string Output, string Error)> CliAsync(string gateway, string config, string? authority, string[] args)
    {
        var start = new ProcessStartInfo(PathOf("Drover.Cli", "drover"), args) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["DROVER_GATEWAY"] = gateway;
        start.Environment["XDG_CONFIG_HOME"] = config;
        if (authority is not null)
            start.Environment["DROVER_CA"] = authority;
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync(Cancellation);
        Task<string> error = process.StandardError.ReadToEndAsync(Cancellation);
        await process.WaitForExitAsync(Cancellation);
        return (process.ExitCode, await output, await error);
    }

    /// <summary>Waits until a service is well.</summary>
    public static async Task AnswersAsync(string service, GrpcChannel channel, Func<string> logs)
    {
        CallOptions patient = new CallOptions(deadline: DateTime.UtcNow.AddMinutes(2), cancellationToken: Cancellation).WithWaitForReady();
        try
        {
            await new Health.HealthClient(channel).CheckAsync(new HealthCheckRequest(), patient);
        }
        catch (RpcException e)
        {
            Assert.Fail($"{service} does not answer: {e.Status.Detail}\n{logs()}");
        }
    }

    /// <summary>Ends processes as a crash would, with all that they started.</summary>
    public static async ValueTask EndAsync(IEnumerable<Process> processes)
    {
        foreach (Process process in processes)
        {
            if (!process.HasExited)
                process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync(CancellationToken.None);
            process.Dispose();
        }
    }

    /// <summary>The key that a gateway made at its first start.</summary>
    public static string KeyOf(string dataFolder) => File.ReadAllText(Path.Combine(dataFolder, "access", "admin.key")).Trim();

    /// <summary>Calls with a key.</summary>
    public static CallInvoker WithKey(GrpcChannel channel, string key) => channel.Intercept(headers =>
    {
        headers.Add("authorization", $"Bearer {key}");
        return headers;
    });

    /// <summary>The last lines of every log of a folder, for a failing test to show.</summary>
    public static string LogsOf(string folder, int lines) =>
        string.Join('\n', Directory.EnumerateFiles(folder, "*.log").Select(file => $"--- {Path.GetFileName(file)}\n{string.Join('\n', File.ReadLines(file).TakeLast(lines))}"));

    // The tests lie in bin/Drover.Integration.Tests/<configuration>/, the programs beside them.
    private static string PathOf(string project, string program)
    {
        string here = AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar);
        string path = Path.GetFullPath(Path.Combine(here, "..", "..", project, Path.GetFileName(here), program));
        Assert.True(File.Exists(path), $"'{path}' is not built.");
        return path;
    }
}
