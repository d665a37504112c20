using System.Net.Security;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Drover.Errors;
using Drover.Protocol;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.DataPrep.V1;
using Drover.Protocol.Gateway.V1;
using Drover.Protocol.Tokenizer.V1;
using Drover.Protocol.Trainer.V1;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Grpc.Net.Client;

namespace Drover.Client;

/// <summary>A connection to a gateway, and through it to all services: with a key, and for https trusted by the system or by an authority of its own.</summary>
public sealed class DroverClient : IDisposable
{
    /// <summary>Where the gateway is when nothing is said.</summary>
    public const string DefaultGateway = "http://127.0.0.1:7500";

    private const int MaxMessageBytes = 16 << 20;
    private const int ChunkBytes = 256 << 10;
    private static readonly TimeSpan ConnectPatience = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan PingDelay = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan PingPatience = TimeSpan.FromSeconds(20);
    private readonly GrpcChannel _channel;

    /// <summary>Prepares a connection; nothing is sent yet.</summary>
    /// <param name="gateway">Address, e.g. https://drover.example.com:7500.</param>
    /// <param name="key">What <c>drover keys create</c> printed. Null: DROVER_KEY, else what <c>drover login</c> kept for this gateway.</param>
    /// <param name="authorityFile">Certificates (PEM) that the gateway is trusted by. Null: DROVER_CA; where that is empty, the system's.</param>
    /// <exception cref="DroverException">InvalidArgument for an address or a file that is none.</exception>
    public DroverClient(string gateway, string? key = null, string? authorityFile = null)
    {
        Uri address = AddressOf(gateway);
        string authority = authorityFile ?? Environment.GetEnvironmentVariable("DROVER_CA") ?? "";
        _channel = GrpcChannel.ForAddress(address, new GrpcChannelOptions { HttpHandler = Handler(authority), DisposeHttpClient = true, MaxReceiveMessageSize = MaxMessageBytes, MaxSendMessageSize = MaxMessageBytes });
        string shown = key ?? KeyFile.Find(address);
        Invoker = shown.Length == 0 ? _channel.CreateCallInvoker() : _channel.Intercept(headers => CallHeaders.WithKey(headers, shown));
    }

    /// <summary>How long a watch waits for a gateway that does not answer before it fails; <see cref="Timeout.InfiniteTimeSpan"/> for ever. 2 minutes.</summary>
    public TimeSpan WatchPatience { get; init; } = EventWatch.DefaultPatience;

    /// <summary>What generated clients call through.</summary>
    public CallInvoker Invoker { get; }

    /// <summary>Pipelines, uploads, status.</summary>
    public GatewayService.GatewayServiceClient Gateway => new(Invoker);

    /// <summary>Keys.</summary>
    public AccessService.AccessServiceClient Access => new(Invoker);

    /// <summary>Tokenizers.</summary>
    public TokenizerService.TokenizerServiceClient Tokenizer => new(Invoker);

    /// <summary>Datasets.</summary>
    public DataPrepService.DataPrepServiceClient DataPrep => new(Invoker);

    /// <summary>Trainings, evaluations, texts.</summary>
    public TrainerService.TrainerServiceClient Trainer => new(Invoker);

    /// <summary>Checkpoints, exports, models.</summary>
    public CheckpointService.CheckpointServiceClient Checkpoint => new(Invoker);

    /// <summary>The gateway of DROVER_GATEWAY, else that of this machine.</summary>
    public static DroverClient FromEnvironment() =>
        new(Environment.GetEnvironmentVariable("DROVER_GATEWAY") is { Length: > 0 } address ? address : DefaultGateway);

    /// <summary>The address that a text is.</summary>
    /// <exception cref="DroverException">InvalidArgument.</exception>
    public static Uri AddressOf(string gateway) =>
        Uri.TryCreate(gateway, UriKind.Absolute, out Uri? address) && address.Scheme is "http" or "https"
            ? address!
            : throw new DroverException(FailureCode.InvalidArgument, "INVALID_GATEWAY", $"--gateway '{gateway}' is no address; write e.g. {DefaultGateway}.");

    /// <summary>Puts a file into the object store.</summary>
    /// <returns>Its key there, for <c>inputs</c> of a pipeline. The same bytes twice are one object.</returns>
    public async Task<string> UploadAsync(string path, CancellationToken cancellation = default)
    {
        await using FileStream file = File.OpenRead(path);
        var header = new UploadHeader { FileName = Path.GetFileName(path), SizeBytes = file.Length, Sha256 = Convert.ToHexStringLower(await SHA256.HashDataAsync(file, cancellation).ConfigureAwait(false)) };
        file.Position = 0;
        return await UploadAsync(header, file, cancellation: cancellation).ConfigureAwait(false);
    }

    /// <summary>Puts bytes into the object store that are what a header says of them.</summary>
    /// <param name="header">Name, size and digest.</param>
    /// <param name="content">Read to its end.</param>
    /// <param name="sent">Told the size of each piece that was sent.</param>
    /// <param name="cancellation">Gives up; nothing is stored.</param>
    /// <returns>The key there.</returns>
    public async Task<string> UploadAsync(UploadHeader header, Stream content, Action<int>? sent = null, CancellationToken cancellation = default)
    {
        using AsyncClientStreamingCall<UploadInputRequest, UploadInputResponse> call = Gateway.UploadInput(cancellationToken: cancellation);
        try
        {
            await call.RequestStream.WriteAsync(new UploadInputRequest { Header = header }, cancellation).ConfigureAwait(false);
            byte[] chunk = new byte[ChunkBytes];
            for (int read; (read = await content.ReadAsync(chunk, cancellation).ConfigureAwait(false)) > 0; sent?.Invoke(read))
                await call.RequestStream.WriteAsync(new UploadInputRequest { Chunk = ByteString.CopyFrom(chunk, 0, read) }, cancellation).ConfigureAwait(false);
            await call.RequestStream.CompleteAsync().ConfigureAwait(false);
        }
        catch (Exception e) when (e is InvalidOperationException or RpcException)
        {
            // The gateway ended the call early: its answer, awaited below, says why.
        }

        return (await call.ResponseAsync.ConfigureAwait(false)).Key;
    }

    /// <summary>
    /// Events of a pipeline until it ends, each once. A connection that breaks is made again from the newest revision, for as long as
    /// <see cref="WatchPatience"/>.
    /// </summary>
    /// <param name="name">"jobs/pipeline-...".</param>
    /// <param name="fromRevision">Only events after it.</param>
    /// <param name="cancellation">Ends the watching.</param>
    /// <exception cref="RpcException">What the gateway answers, or that it does not for too long.</exception>
    public IAsyncEnumerable<PipelineEvent> WatchPipelineAsync(string name, long fromRevision = 0, CancellationToken cancellation = default) =>
        EventWatch.FollowAsync(from => EventsAsync(name, from, cancellation), update => update.Revision, fromRevision, WatchPatience, cancellation: cancellation);

    /// <inheritdoc />
    public void Dispose() => _channel.Dispose();

    private async IAsyncEnumerable<PipelineEvent> EventsAsync(string name, long fromRevision, [EnumeratorCancellation] CancellationToken cancellation)
    {
        using AsyncServerStreamingCall<WatchPipelineResponse> call = Gateway.WatchPipeline(new WatchPipelineRequest { Name = name, FromRevision = fromRevision }, cancellationToken: cancellation);
        while (await call.ResponseStream.MoveNext(cancellation).ConfigureAwait(false))
            yield return call.ResponseStream.Current.Event;
    }

    private static SocketsHttpHandler Handler(string authorityFile)
    {
        // Without pings, who watches a gateway whose machine is gone would wait for ever.
        var handler = new SocketsHttpHandler { EnableMultipleHttp2Connections = true, ConnectTimeout = ConnectPatience, KeepAlivePingDelay = PingDelay, KeepAlivePingTimeout = PingPatience, KeepAlivePingPolicy = HttpKeepAlivePingPolicy.WithActiveRequests };
        if (authorityFile.Length == 0)
            return handler;
        if (!File.Exists(authorityFile))
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_CA", $"DROVER_CA: there is no file '{authorityFile}'.");
        var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        policy.CustomTrustStore.ImportFromPemFile(authorityFile);
        handler.SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = policy };
        return handler;
    }
}
