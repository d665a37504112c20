using System.Security.Cryptography.X509Certificates;

namespace Drover.ObjectStore;

/// <summary>Connections to an S3 server.</summary>
internal static class S3Connection
{
    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(10);

    /// <summary>A client whose requests end when the server falls silent, and that trusts the certificates of the options.</summary>
    public static HttpClient Open(ObjectStoreOptions options)
    {
        var handler = new SocketsHttpHandler { ConnectTimeout = ConnectTimeout, PooledConnectionLifetime = TimeSpan.FromMinutes(10) };
        if (options.S3CertificateFile.Length > 0)
        {
            var trusted = new X509Certificate2Collection();
            trusted.ImportFromPemFile(options.S3CertificateFile);
            handler.SslOptions.CertificateChainPolicy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            handler.SslOptions.CertificateChainPolicy.CustomTrustStore.AddRange(trusted);
        }

        return new HttpClient(new SilenceHandler(handler)) { Timeout = Timeout.InfiniteTimeSpan };
    }

    /// <summary>Gives an answer a minute to begin, and an upload the time that a slow line needs for it.</summary>
    private sealed class SilenceHandler(HttpMessageHandler inner) : DelegatingHandler(inner)
    {
        private const long SlowestBytesPerSecond = 256 << 10;
        private static readonly TimeSpan Longest = TimeSpan.FromSeconds(60);

        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            using var silence = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            silence.CancelAfter(Longest + TimeSpan.FromSeconds((request.Content?.Headers.ContentLength ?? 0) / SlowestBytesPerSecond));
            try
            {
                return await base.SendAsync(request, silence.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException e) when (!cancellationToken.IsCancellationRequested)
            {
                throw new HttpRequestException("it was silent for too long", e);
            }
        }
    }
}
