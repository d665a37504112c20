using System.Diagnostics;
using Drover.Testing;
using Grpc.Core;
using Grpc.Health.V1;
using Grpc.Net.Client;

namespace Drover.Integration.Tests;

/// <summary>
/// A running Drover, made of real processes on free ports of the loopback with one data folder: all services in one process,
/// or one process each. The two differ in which programs are started and in nothing else.
/// </summary>
internal sealed class DroverProcesses : IAsyncDisposable
{
    private static readonly (string Service, string Program)[] Services =
        [("tokenizer", "Drover.Tokenizer"), ("dataprep", "Drover.DataPrep"), ("trainer", "Drover.Trainer"), ("checkpoint", "Drover.Checkpoint"), ("gateway", "Drover.Gateway")];

    private readonly Dictionary<string, string> _addresses = Services.ToDictionary(s => s.Service, _ => $"http://127.0.0.1:{LoopbackPort.Free()}");
    private readonly Dictionary<string, Process> _processes = [];
    private readonly string _httpAddress = $"http://127.0.0.1:{LoopbackPort.Free()}";
    private readonly string _data;

    private DroverProcesses(string data) => _data = data;

    public string Gateway => _addresses["gateway"];

    public string Objects => Path.Combine(_data, "objects");

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    /// <summary>Starts a Drover and waits until all services answer.</summary>
    public static async Task<DroverProcesses> StartAsync(Shape shape, string data)
    {
        var drover = new DroverProcesses(data);
        try
        {
            if (shape == Shape.AllInOne)
                drover.Start("Drover.AllInOne");
            else
                Array.ForEach(Services, s => drover.Start(s.Program));
            foreach ((string service, _) in Services)
                await drover.AnswersAsync(service);
            return drover;
        }
        catch
        {
            await drover.DisposeAsync();
            throw;
        }
    }

    /// <summary>Ends the gateway's process as a crash would, and starts it again.</summary>
    public async Task CrashGatewayAsync()
    {
        Process gateway = _processes["Drover.Gateway"];
        gateway.Kill();
        await gateway.WaitForExitAsync(Cancellation);
        gateway.Dispose();
        Start("Drover.Gateway");
        await AnswersAsync("gateway");
    }

    /// <summary>Runs the command line to its end.</summary>
    public async Task<(int Code, string Output, string Error)> CliAsync(params string[] args)
    {
        var start = new ProcessStartInfo(PathOf("Drover.Cli", "drover"), args) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["DROVER_GATEWAY"] = Gateway;
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync(Cancellation);
        Task<string> error = process.StandardError.ReadToEndAsync(Cancellation);
        await process.WaitForExitAsync(Cancellation);
        return (process.ExitCode, await output, await error);
    }

    /// <summary>The end of every log, for a failing test to show.</summary>
    public string Logs() =>
        string.Join('\n', Directory.EnumerateFiles(_data, "*.log").Select(file => $"--- {Path.GetFileName(file)}\n{string.Join('\n', File.ReadLines(file).TakeLast(30))}"));

    public async ValueTask DisposeAsync()
    {
        foreach (Process process in _processes.Values)
        {
            if (!process.HasExited)
                process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync(CancellationToken.None);
            process.Dispose();
        }
    }

    private void Start(string program)
    {
        Directory.CreateDirectory(_data);
        string log = Path.Combine(_data, program + ".log");
        // The shell only sends the output to a file, so that no pipe has to be kept empty here.
        var start = new ProcessStartInfo("/bin/sh", ["-c", "exec \"$0\" >>\"$1\" 2>&1", PathOf(program, program), log]);
        foreach ((string service, string address) in _addresses)
            start.Environment[$"DROVER_Services__{service}"] = address;
        start.Environment["DROVER_Gateway__HttpAddress"] = _httpAddress;
        start.Environment["DROVER_Checkpoint__HubAddress"] = "";
        start.Environment["DROVER_Drover__DataFolder"] = _data;
        _processes[program] = Process.Start(start)!;
    }

    private async Task AnswersAsync(string service)
    {
        using GrpcChannel channel = GrpcChannel.ForAddress(_addresses[service]);
        CallOptions patient = new CallOptions(deadline: DateTime.UtcNow.AddMinutes(2), cancellationToken: Cancellation).WithWaitForReady();
        try
        {
            await new Health.HealthClient(channel).CheckAsync(new HealthCheckRequest(), patient);
        }
        catch (RpcException e)
        {
            Assert.Fail($"{service} does not answer: {e.Status.Detail}\n{Logs()}");
        }
    }

    // The tests lie in bin/Drover.Integration.Tests/<configuration>/, the programs beside them.
    private static string PathOf(string project, string program)
    {
        string here = AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar);
        string path = Path.GetFullPath(Path.Combine(here, "..", "..", project, Path.GetFileName(here), program));
        Assert.True(File.Exists(path), $"'{path}' is not built.");
        return path;
    }
}

/// <summary>How a Drover is put together.</summary>
public enum Shape
{
    /// <summary>All services in one process.</summary>
    AllInOne,

    /// <summary>One process a service.</summary>
    Separate,
}
