using System.Diagnostics;
using Drover.Testing;
using Grpc.Core;
using Grpc.Net.Client;

namespace Drover.Integration.Tests;

/// <summary>
/// A running Drover, made of real processes on free ports of the loopback with one data folder: all services in one process,
/// or one process each. The two differ in which programs are started and in nothing else.
/// </summary>
internal sealed class DroverProcesses : IAsyncDisposable
{
    private readonly Dictionary<string, string> _addresses = DroverPrograms.Services.ToDictionary(s => s.Service, _ => $"http://127.0.0.1:{LoopbackPort.Free()}");
    private readonly Dictionary<string, Process> _processes = [];
    private readonly string _httpAddress = $"http://127.0.0.1:{LoopbackPort.Free()}";
    private readonly string _data;

    private DroverProcesses(string data) => _data = data;

    public string Gateway => _addresses["gateway"];

    /// <summary>The key that the gateway made at its first start.</summary>
    public string Key => DroverPrograms.KeyOf(_data);

    public string Objects => Path.Combine(_data, "objects");

    private string Config => Path.Combine(_data, "config");

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
                Array.ForEach(DroverPrograms.Services, s => drover.Start(s.Program));
            foreach ((string service, _) in DroverPrograms.Services)
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

    /// <summary>A connection to the gateway, with its key.</summary>
    public CallInvoker Connect(GrpcChannel channel) => DroverPrograms.WithKey(channel, Key);

    /// <summary>Runs the command line to its end.</summary>
    public Task<(int Code, string Output, string Error)> CliAsync(params string[] args) => DroverPrograms.CliAsync(Gateway, Config, authority: null, args);

    /// <summary>All lines of all logs, but for those that are being written.</summary>
    public IEnumerable<string> LogLines => Directory.EnumerateFiles(_data, "*.log").Select(File.ReadAllText)
        .SelectMany(text => text[..(text.LastIndexOf('\n') + 1)].Split('\n', StringSplitOptions.RemoveEmptyEntries));

    /// <summary>The end of every log, for a failing test to show.</summary>
    public string Logs() => DroverPrograms.LogsOf(_data, 30);

    public ValueTask DisposeAsync() => DroverPrograms.EndAsync(_processes.Values);

    private void Start(string program)
    {
        Directory.CreateDirectory(_data);
        _processes[program] = DroverPrograms.Start(program, Path.Combine(_data, program + ".log"), Config,
        [
            .. _addresses.Select(a => KeyValuePair.Create($"DROVER_Services__{a.Key}", a.Value)),
            new("DROVER_Gateway__HttpAddress", _httpAddress),
            new("DROVER_Checkpoint__HubAddress", ""),
            new("DROVER_Drover__DataFolder", _data),
            new("DROVER_Telemetry__LogFormat", "json"),
        ]);
    }

    private async Task AnswersAsync(string service)
    {
        using GrpcChannel channel = GrpcChannel.ForAddress(_addresses[service]);
        await DroverPrograms.AnswersAsync(service, channel, Logs);
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
