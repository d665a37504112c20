using System.Diagnostics;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using Drover.Testing;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Grpc.Health.V1;
using Grpc.Net.Client;

namespace Drover.Integration.Tests;

/// <summary>
/// Drover as on five machines: a process and a data folder for each service, which share nothing but an S3 store and Consul; keys on,
/// with a key of services or with mutual TLS; and processes of data-preparation workers that come and go.
/// </summary>
internal sealed class DistributedDrover : IAsyncDisposable
{
    private static readonly (string Service, string Program)[] Services =
        [("tokenizer", "Drover.Tokenizer"), ("dataprep", "Drover.DataPrep"), ("trainer", "Drover.Trainer"), ("checkpoint", "Drover.Checkpoint"), ("gateway", "Drover.Gateway")];

    private readonly Dictionary<string, string> _addresses;
    private readonly Dictionary<string, string> _shared;
    private readonly List<Process> _services = [];
    private readonly string _folder;
    private readonly string? _authority;

    private DistributedDrover(string folder, bool isTls, Dictionary<string, string> shared)
    {
        string scheme = isTls ? "https" : "http";
        _folder = folder;
        _shared = shared;
        _addresses = Services.ToDictionary(s => s.Service, _ => $"{scheme}://127.0.0.1:{LoopbackPort.Free()}");
        if (isTls)
            _authority = AddCertificates();
        else
            _shared["DROVER_Security__ServiceKey"] = new string('k', 40);
    }

    public string Gateway => _addresses["gateway"];

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    /// <summary>Starts the services and waits until all answer and know each other.</summary>
    /// <param name="folder">For everything.</param>
    /// <param name="isTls">Mutual TLS, or a key of services.</param>
    /// <param name="shared">Variables of Consul and the object store.</param>
    public static async Task<DistributedDrover> StartAsync(string folder, bool isTls, Dictionary<string, string> shared)
    {
        var drover = new DistributedDrover(folder, isTls, shared);
        try
        {
            foreach ((string service, string program) in Services)
                drover._services.Add(drover.Start(service, program, service == "dataprep" ? "0" : null));
            foreach ((string service, _) in Services)
                await drover.AnswersAsync(service);
            while ((await drover.CliAsync("status")).Code != 0)
                await Task.Delay(TimeSpan.FromMilliseconds(500), Cancellation);
            return drover;
        }
        catch
        {
            await drover.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts a process of one worker for data preparation.</summary>
    public Process StartWorker() => Start("worker", "Drover.DataPrep", "1");

    /// <summary>Runs the command line to its end.</summary>
    public async Task<(int Code, string Output, string Error)> CliAsync(params string[] args)
    {
        var start = new ProcessStartInfo(DroverProcesses.PathOf("Drover.Cli", "drover"), args) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["DROVER_GATEWAY"] = Gateway;
        start.Environment["XDG_CONFIG_HOME"] = Path.Combine(_folder, "config");
        if (_authority is not null)
            start.Environment["DROVER_CA"] = _authority;
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync(Cancellation);
        Task<string> error = process.StandardError.ReadToEndAsync(Cancellation);
        await process.WaitForExitAsync(Cancellation);
        return (process.ExitCode, await output, await error);
    }

    /// <summary>A connection to a service, with the gateway's first key.</summary>
    public CallInvoker Connect(string service)
    {
        string key = File.ReadAllText(Path.Combine(_folder, "gateway", "access", "admin.key")).Trim();
        return Open(service).Intercept(headers =>
        {
            headers.Add("authorization", $"Bearer {key}");
            return headers;
        });
    }

    /// <summary>The end of every log, for a failing test to show.</summary>
    public string Logs() =>
        string.Join('\n', Directory.EnumerateFiles(_folder, "*.log").Select(file => $"--- {Path.GetFileName(file)}\n{string.Join('\n', File.ReadLines(file).TakeLast(20))}"));

    /// <summary>Asks the services to stop, as their machines do, and waits until they have.</summary>
    public async Task StopAsync()
    {
        foreach (Process process in _services.Where(p => !p.HasExited))
        {
            using Process kill = Process.Start("kill", ["-TERM", process.Id.ToString(System.Globalization.CultureInfo.InvariantCulture)]);
            await kill.WaitForExitAsync(Cancellation);
        }

        await Task.WhenAll(_services.Select(p => p.WaitForExitAsync(Cancellation)));
    }

    public async ValueTask DisposeAsync()
    {
        foreach (Process process in _services)
        {
            if (!process.HasExited)
                process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync(CancellationToken.None);
            process.Dispose();
        }
    }

    private GrpcChannel Open(string service)
    {
        var handler = new SocketsHttpHandler();
        if (_authority is not null)
        {
            var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            policy.CustomTrustStore.ImportFromPemFile(_authority);
            handler.SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = policy };
        }

        return GrpcChannel.ForAddress(_addresses[service], new GrpcChannelOptions { HttpHandler = handler, DisposeHttpClient = true });
    }

    private Process Start(string name, string program, string? workers)
    {
        string data = Directory.CreateDirectory(Path.Combine(_folder, name)).FullName;
        var start = new ProcessStartInfo("/bin/sh", ["-c", "exec \"$0\" >>\"$1\" 2>&1", DroverProcesses.PathOf(program, program), Path.Combine(_folder, name + ".log")]);
        foreach ((string variable, string value) in _shared)
            start.Environment[variable] = value;
        // Where it listens itself; where the others are, only Consul says.
        if (_addresses.TryGetValue(name, out string? address))
            start.Environment[$"DROVER_Services__{name}"] = address;
        else
            start.Environment["DROVER_DataPrep__Role"] = "worker";
        if (workers is not null)
            start.Environment["DROVER_DataPrep__Workers"] = workers;
        start.Environment["DROVER_Gateway__HttpAddress"] = "";
        start.Environment["DROVER_Drover__DataFolder"] = data;
        start.Environment["DROVER_Security__Authentication"] = "keys";
        start.Environment["XDG_CONFIG_HOME"] = Path.Combine(_folder, "config");
        return Process.Start(start)!;
    }

    private async Task AnswersAsync(string service)
    {
        using GrpcChannel channel = Open(service);
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

    // One certificate for all: for the names by which they look each other up, and for the address of this machine.
    private string AddCertificates()
    {
        using var authority = new TestAuthority(Path.Combine(_folder, "authority"));
        (string certificate, string key) = authority.Write("drover", Services.Select(s => s.Service));
        _shared["DROVER_Security__CertificateFile"] = certificate;
        _shared["DROVER_Security__PrivateKeyFile"] = key;
        _shared["DROVER_Security__AuthorityFile"] = authority.CertificateFile;
        return authority.CertificateFile;
    }
}
