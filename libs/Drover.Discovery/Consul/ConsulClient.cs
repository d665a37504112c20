using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Security.Cryptography.X509Certificates;
using Drover.Errors;

namespace Drover.Discovery.Consul;

/// <summary>The few calls of Consul's HTTP API that Drover uses (https://developer.hashicorp.com/consul/api-docs).</summary>
public sealed class ConsulClient : IDisposable
{
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(55);
    private readonly HttpClient _http;

    /// <summary>Prepares the connection; nothing is sent yet.</summary>
    /// <exception cref="DroverException">InvalidArgument for an address or a file that is none.</exception>
    public ConsulClient(DiscoveryOptions options)
    {
        if (!Uri.TryCreate(options.ConsulAddress, UriKind.Absolute, out Uri? address) || address.Scheme is not ("http" or "https"))
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_DISCOVERY", $"Discovery:ConsulAddress is '{options.ConsulAddress}'; write e.g. http://127.0.0.1:8500.");
        var handler = new SocketsHttpHandler { PooledConnectionLifetime = TimeSpan.FromMinutes(5) };
        if (options.ConsulCertificateFile.Length > 0)
            handler.SslOptions.CertificateChainPolicy = TrustOf(options.ConsulCertificateFile);
        _http = new HttpClient(handler) { BaseAddress = address, Timeout = LongestWait + TimeSpan.FromSeconds(15) };
        if (options.ConsulToken.Length > 0)
            _http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", options.ConsulToken);
    }

    /// <summary>Enters a service with its health check; entering it again replaces what is there.</summary>
    public Task RegisterAsync(ConsulRegistration registration, CancellationToken cancellation) =>
        SendAsync(HttpMethod.Put, "/v1/agent/service/register?replace-existing-checks=true", JsonContent.Create(registration, ConsulJson.Default.ConsulRegistration), cancellation);

    /// <summary>Takes a service out; one that is not there is no failure.</summary>
    public Task DeregisterAsync(string id, CancellationToken cancellation) =>
        SendAsync(HttpMethod.Put, $"/v1/agent/service/deregister/{Uri.EscapeDataString(id)}", null, cancellation);

    /// <summary>Whether the agent knows a service: it may have been started anew.</summary>
    public async Task<bool> IsRegisteredAsync(string id, CancellationToken cancellation)
    {
        using HttpResponseMessage answer = await _http.GetAsync(new Uri($"/v1/agent/service/{Uri.EscapeDataString(id)}", UriKind.Relative), cancellation).ConfigureAwait(false);
        if (answer.StatusCode == HttpStatusCode.NotFound)
            return false;
        await EnsureAsync(answer, cancellation).ConfigureAwait(false);
        return true;
    }

    /// <summary>
    /// The instances of a service that pass their checks; waits, at most 55 s, until something changed since <paramref name="index"/> (a
    /// blocking query).
    /// </summary>
    /// <returns>The instances, and the index to ask with next.</returns>
    public async Task<(IReadOnlyList<ConsulInstance> Instances, long Index)> FindAsync(string name, long index, CancellationToken cancellation)
    {
        string wait = index > 0 ? $"&index={index.ToString(CultureInfo.InvariantCulture)}&wait={LongestWait.TotalSeconds.ToString(CultureInfo.InvariantCulture)}s" : "";
        using HttpResponseMessage answer = await _http.GetAsync(new Uri($"/v1/health/service/{Uri.EscapeDataString(name)}?passing=1{wait}", UriKind.Relative), cancellation).ConfigureAwait(false);
        await EnsureAsync(answer, cancellation).ConfigureAwait(false);
        ConsulHealth[] found = await answer.Content.ReadFromJsonAsync(ConsulJson.Default.ConsulHealthArray, cancellation).ConfigureAwait(false) ?? [];
        long next = answer.Headers.TryGetValues("X-Consul-Index", out IEnumerable<string>? values) ? long.Parse(values.First(), CultureInfo.InvariantCulture) : 0;
        // An index that goes back means that Consul was started anew; asking with 0 begins anew too.
        if (next < index)
            next = 0;
        // The service's own address wins over its node's.
        return ([.. found.Select(h => new ConsulInstance(h.Service.ID, h.Service.Address.Length > 0 ? h.Service.Address : h.Node.Address, h.Service.Port)).OrderBy(i => i.Id, StringComparer.Ordinal)], next);
    }

    /// <inheritdoc />
    public void Dispose() => _http.Dispose();

    private async Task SendAsync(HttpMethod method, string path, HttpContent? content, CancellationToken cancellation)
    {
        using var request = new HttpRequestMessage(method, path) { Content = content };
        using HttpResponseMessage answer = await _http.SendAsync(request, cancellation).ConfigureAwait(false);
        if (!answer.IsSuccessStatusCode && !await IsUnknownAsync(answer, cancellation).ConfigureAwait(false))
            await EnsureAsync(answer, cancellation).ConfigureAwait(false);
    }

    // Older Consuls (1.8) answer 500 for a service that it does not know.
    private static async Task<bool> IsUnknownAsync(HttpResponseMessage answer, CancellationToken cancellation) =>
        answer.StatusCode == HttpStatusCode.NotFound
        || (answer.StatusCode == HttpStatusCode.InternalServerError && (await answer.Content.ReadAsStringAsync(cancellation).ConfigureAwait(false)).StartsWith("Unknown service", StringComparison.Ordinal));

    private async Task EnsureAsync(HttpResponseMessage answer, CancellationToken cancellation)
    {
        if (answer.IsSuccessStatusCode)
            return;
        string text = (await answer.Content.ReadAsStringAsync(cancellation).ConfigureAwait(false)).Trim();
        bool isForbidden = answer.StatusCode is HttpStatusCode.Forbidden or HttpStatusCode.Unauthorized;
        throw new DroverException(
            isForbidden ? FailureCode.PermissionDenied : FailureCode.Unavailable,
            isForbidden ? "CONSUL_FORBIDS" : "CONSUL_FAILED",
            $"Consul at {_http.BaseAddress} {(isForbidden ? "refuses the token (Discovery:ConsulToken)" : "does not do it")}: {(int)answer.StatusCode}, {text.TrimEnd('.')}.");
    }

    private static X509ChainPolicy TrustOf(string file)
    {
        if (!File.Exists(file))
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_DISCOVERY", $"Discovery:ConsulCertificateFile: there is no file '{file}'.");
        var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        policy.CustomTrustStore.ImportFromPemFile(file);
        return policy;
    }
}
