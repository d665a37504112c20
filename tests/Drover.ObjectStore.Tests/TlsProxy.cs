using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Drover.Testing;

namespace Drover.ObjectStore.Tests;

/// <summary>Takes TLS connections on the loopback and passes what comes on to a server; can be away for a while.</summary>
internal sealed class TlsProxy : IDisposable
{
    private readonly IPEndPoint _server;
    private readonly LoopbackListener _listener;
    private readonly X509Certificate2 _certificate;
    private readonly List<TcpClient> _open = [];

    public TlsProxy(Uri server)
    {
        _server = new IPEndPoint(IPAddress.Parse(server.Host == "localhost" ? "127.0.0.1" : server.Host), server.Port);
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=drover-test", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        using X509Certificate2 made = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        _certificate = X509CertificateLoader.LoadPkcs12(made.Export(X509ContentType.Pkcs12), null);
        _listener = new LoopbackListener(ServeAsync);
    }

    public string Address => $"https://127.0.0.1:{_listener.Port}";

    public string CertificatePem => _certificate.ExportCertificatePem();

    /// <summary>Cuts all connections off, and every new one at once.</summary>
    public bool IsAway
    {
        get;
        set
        {
            field = value;
            if (value)
                Cut();
        }
    }

    public void Dispose()
    {
        _listener.Dispose();
        Cut();
        _certificate.Dispose();
    }

    private void Cut()
    {
        lock (_open)
        {
            _open.ForEach(c => c.Dispose());
            _open.Clear();
        }
    }

    private async Task ServeAsync(TcpClient client)
    {
        using var server = new TcpClient();
        lock (_open)
            _open.AddRange([client, server]);
        try
        {
            if (IsAway)
                return;
            using var tls = new SslStream(client.GetStream());
            await tls.AuthenticateAsServerAsync(_certificate);
            await server.ConnectAsync(_server);
            NetworkStream plain = server.GetStream();
            await Task.WhenAny(tls.CopyToAsync(plain), plain.CopyToAsync(tls));
        }
        catch (Exception e) when (e is IOException or SocketException or ObjectDisposedException or System.Security.Authentication.AuthenticationException or InvalidOperationException)
        {
            // Cut off, or not trusted by the other side.
        }
        finally
        {
            client.Dispose();
        }
    }
}
