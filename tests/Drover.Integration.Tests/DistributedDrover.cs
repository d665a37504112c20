using System.Diagnostics;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using Drover.Testing;
using Grpc.Core;
using Grpc.Net.Client;

namespace Drover.Integration.Tests;

/// <summary>
/// Drover as on five machines: a process and a data folder for each service, which share nothing but an S3 store and Consul; keys on,
/// with a key of services or with mutual TLS; and processes of data-preparation workers that come and go.
/// </summary>
internal sealed class DistributedDrover : IAsyncDisposable
{
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
        _addresses = DroverPrograms.Services.ToDictionary(s => s.Service, _ => $"{scheme}://127.0.0.1:{LoopbackPort.Free()}");
        if (isTls)
            _authority = AddCertificates();
        else
            _shared["DROVER_Security__ServiceKey"] = new string('k', 40);
    }

    public string Gateway => _addresses["gateway"];

    private string Config => Path.Combine(_folder, "config");

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
            foreach ((string service, string program) in DroverPrograms.Services)
                drover._services.Add(drover.Start(service, program, service == "dataprep" ? "0" : null));
            foreach ((string service, _) in DroverPrograms.Services)
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
    public Task<(int Code, string Output, string Error)> CliAsync(params string[] args) => DroverPrograms.CliAsync(Gateway, Config, _authority, args);

    /// <summary>A connection to a service, with the gateway's first key.</summary>
    public CallInvoker Connect(string service) => DroverPrograms.WithKey(Open(service), DroverPrograms.KeyOf(Path.Combine(_folder, "gateway")));

    /// <summary>The end of every log, for a failing test to show.</summary>
    public string Logs() => DroverPrograms.LogsOf(_folder, 20);

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

    public ValueTask DisposeAsync() => DroverPrograms.EndAsync(_services);

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
        var environment = new Dictionary<string, string>(_shared) { ["DROVER_Gateway__HttpAddress"] = "", ["DROVER_Checkpoint__HubAddress"] = "", ["DROVER_Drover__DataFolder"] = data };
        // Where it listens itself; where the others are, only Consul says.
        if (_addresses.TryGetValue(name, out string? address))
            environment[$"DROVER_Services__{name}"] = address;
        else
            environment["DROVER_DataPrep__Role"] = "worker";
        if (workers is not null)
            environment["DROVER_DataPrep__Workers"] = workers;
        return DroverPrograms.Start(program, Path.Combine(_folder, name + ".log"), Config, environment);
    }

    private async Task AnswersAsync(string service)
    {
        using GrpcChannel channel = Open(service);
        await DroverPrograms.AnswersAsync(service, channel, Logs);
    }

    // One certificate for all: for the names by which they look each other up, and for the address of this machine.
    private string AddCertificates()
    {
        using var authority = new TestAuthority(Path.Combine(_folder, "authority"));
        (string certificate, string key) = authority.Write("drover", DroverPrograms.Services.Select(s => s.Service));
        _shared["DROVER_Security__CertificateFile"] = certificate;
        _shared["DROVER_Security__PrivateKeyFile"] = key;
        _shared["DROVER_Security__AuthorityFile"] = authority.CertificateFile;
        return authority.CertificateFile;
    }
}
