using System.Reflection;
using Drover.Errors;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Drover.Discovery.Consul;

/// <summary>
/// Keeps this service in Consul's catalogue from its start to its stop. It looks every few seconds whether it is still there: an agent
/// that was started anew has forgotten it, and one that does not answer now may answer later.
/// </summary>
public sealed partial class ConsulEntry(ConsulClient consul, DiscoveryOptions options, OwnService own, IServer server, TimeProvider time, ILogger<ConsulEntry> logger)
    : IHostedLifecycleService, IDisposable
{
    private static readonly TimeSpan LookInterval = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan StopPatience = TimeSpan.FromSeconds(3);
    private readonly CancellationTokenSource _stopping = new();
    private readonly string _id = $"drover-{own.Name}-{Environment.MachineName}-{own.Address.Port}".ToLowerInvariant();
    private Task? _keeping;

    private string Host => options.AdvertiseHost.Length > 0 ? options.AdvertiseHost : own.Address.Host;

    /// <summary>Services are in the catalogue under this name.</summary>
    public static string NameOf(string service) => $"drover-{service}";

    /// <inheritdoc />
    public Task StartingAsync(CancellationToken cancellationToken)
    {
        if (Host is "0.0.0.0" or "[::]")
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_DISCOVERY", $"'{own.Name}' listens at {own.Address}, which is no address to reach it by: set Discovery:AdvertiseHost.");
        return Task.CompletedTask;
    }

    /// <summary>Begins to keep the entry, once the service listens. A process that listens nowhere (a worker) has none.</summary>
    public Task StartedAsync(CancellationToken cancellationToken)
    {
        if (server.Features.Get<IServerAddressesFeature>()?.Addresses.Count > 0)
            _keeping = KeepAsync(Registration(Host), _stopping.Token);
        return Task.CompletedTask;
    }

    /// <summary>Takes the entry out, while the service still answers.</summary>
    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        await _stopping.CancelAsync().ConfigureAwait(false);
        if (_keeping is null)
            return;
        await _keeping.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(StopPatience);
        try
        {
            await consul.DeregisterAsync(_id, patience.Token).ConfigureAwait(false);
            LogLeft(_id);
        }
        catch (Exception e) when (IsOfConsul(e))
        {
            // Its check takes it out.
            LogAway(e.Message);
        }
    }

    /// <inheritdoc />
    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc />
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc />
    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc />
    public void Dispose() => _stopping.Dispose();

    private async Task KeepAsync(ConsulRegistration registration, CancellationToken stopping)
    {
        bool isWell = true;
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                if (!await consul.IsRegisteredAsync(_id, stopping).ConfigureAwait(false))
                {
                    await consul.RegisterAsync(registration, stopping).ConfigureAwait(false);
                    LogEntered(_id, registration.Address, registration.Port);
                }

                isWell = true;
            }
            catch (Exception e) when (!stopping.IsCancellationRequested && IsOfConsul(e))
            {
                if (isWell)
                    LogAway(e.Message);
                isWell = false;
            }

            await Task.Delay(LookInterval, time, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private ConsulRegistration Registration(string host)
    {
        bool isTls = own.Address.Scheme == Uri.UriSchemeHttps;
        string version = Assembly.GetEntryAssembly()?.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "";
        var meta = new Dictionary<string, string>(StringComparer.Ordinal)
        {
            ["version"] = version,
            ["scheme"] = own.Address.Scheme,
            ["processors"] = Environment.ProcessorCount.ToString(System.Globalization.CultureInfo.InvariantCulture),
            ["memory_bytes"] = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes.ToString(System.Globalization.CultureInfo.InvariantCulture),
        };
        // Critical until the first check: nobody is sent to a service that does not answer yet.
        var check = new ConsulCheck($"gRPC health of {own.Name}", $"{host}:{own.Address.Port}", isTls, isTls, "2s", "5s", "critical", $"{options.DeregisterSeconds}s");
        return new ConsulRegistration(_id, NameOf(own.Name), host, own.Address.Port, ["drover"], meta, check);
    }

    // What an HTTP call of an agent that is away, slow or refuses ends with.
    private static bool IsOfConsul(Exception e) => e is HttpRequestException or OperationCanceledException or DroverException;

    [LoggerMessage(1, LogLevel.Information, "In Consul's catalogue as {Id} at {Host}:{Port}")]
    private partial void LogEntered(string id, string host, int port);

    [LoggerMessage(2, LogLevel.Information, "Out of Consul's catalogue: {Id}")]
    private partial void LogLeft(string id);

    [LoggerMessage(3, LogLevel.Warning, "Consul: {Why} Trying again.")]
    private partial void LogAway(string why);
}
