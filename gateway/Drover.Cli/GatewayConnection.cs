using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using Drover.Errors;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Grpc.Net.Client;

namespace Drover.Cli;

/// <summary>The connection to the gateway: with the key of this user, and for https trusted by the system or by the authority of DROVER_CA.</summary>
internal sealed class GatewayConnection : IDisposable
{
    private const int MaxMessageBytes = 16 << 20;
    private readonly GrpcChannel _channel;

    /// <summary>Prepares it; nothing is sent yet.</summary>
    /// <exception cref="DroverException">InvalidArgument for an address or a file that is none.</exception>
    public GatewayConnection(string gateway)
    {
        Uri address = AddressOf(gateway);
        _channel = GrpcChannel.ForAddress(address, new GrpcChannelOptions { HttpHandler = Handler(), DisposeHttpClient = true, MaxReceiveMessageSize = MaxMessageBytes, MaxSendMessageSize = MaxMessageBytes });
        string key = KeyFile.Find(address);
        Invoker = key.Length == 0 ? _channel.CreateCallInvoker() : _channel.Intercept(headers =>
        {
            headers.Add("authorization", $"Bearer {key}");
            return headers;
        });
    }

    /// <summary>What generated clients call through.</summary>
    public CallInvoker Invoker { get; }

    /// <summary>The address that a text is.</summary>
    public static Uri AddressOf(string gateway) =>
        Uri.TryCreate(gateway, UriKind.Absolute, out Uri? address) && address.Scheme is "http" or "https"
            ? address!
            : throw new DroverException(FailureCode.InvalidArgument, "INVALID_GATEWAY", $"--gateway '{gateway}' is no address; write e.g. {GlobalOptions.DefaultGateway}.");

    /// <inheritdoc />
    public void Dispose() => _channel.Dispose();

    private static SocketsHttpHandler Handler()
    {
        var handler = new SocketsHttpHandler { EnableMultipleHttp2Connections = true };
        if (Environment.GetEnvironmentVariable("DROVER_CA") is not { Length: > 0 } file)
            return handler;
        if (!File.Exists(file))
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_CA", $"DROVER_CA: there is no file '{file}'.");
        var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        policy.CustomTrustStore.ImportFromPemFile(file);
        handler.SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = policy };
        return handler;
    }
}
