using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using Drover.Protocol.Gateway.V1;
using Drover.Protocol.Tokenizer.V1;
using Drover.Testing;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Grpc.Net.Client;

namespace Drover.Gateway.Tests;

/// <summary>TLS to users, mutual TLS between services.</summary>
[Collection("Identity")]
public sealed class TlsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly TestAuthority _authority;
    private readonly TestAuthority _forger;
    private readonly string? _before = Environment.GetEnvironmentVariable("XDG_CONFIG_HOME");

    public TlsTests()
    {
        Environment.SetEnvironmentVariable("XDG_CONFIG_HOME", _folder["config"]);
        _authority = new TestAuthority(_folder["authority"]);
        _forger = new TestAuthority(_folder["forger"]);
    }

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        Environment.SetEnvironmentVariable("XDG_CONFIG_HOME", _before);
        _authority.Dispose();
        _forger.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public async Task A_user_with_a_key_reaches_a_service_through_gateway_and_mutual_tls()
    {
        await using GatewayFixture gateway = await StartAsync();
        using GrpcChannel channel = Connect(gateway.Address, null);
        string key = File.ReadAllText(gateway.Folder["access/admin.key"]).Trim();
        CallInvoker user = channel.Intercept(headers => With(headers, key));
        await new TokenizerService.TokenizerServiceClient(user).ListTokenizerJobsAsync(new ListTokenizerJobsRequest(), cancellationToken: Cancellation);
        Assert.False(File.Exists(gateway.Folder["access/service.key"]), "with TLS there is no key of services");
    }

    [Fact]
    public async Task Neither_a_missing_nor_a_forged_nor_an_expired_certificate_is_a_service()
    {
        await using GatewayFixture gateway = await StartAsync();
        Assert.Equal(StatusCode.Unauthenticated, await CallTokenizerAsync(gateway, null));
        Assert.Equal(StatusCode.OK, await CallTokenizerAsync(gateway, _authority.Sign("gateway")));
        // The handshake fails: the connection is all that the caller learns of.
        Assert.True(await CallTokenizerAsync(gateway, _forger.Sign("gateway")) is StatusCode.Unavailable or StatusCode.Internal);
        Assert.True(await CallTokenizerAsync(gateway, _authority.Sign("gateway", DateTimeOffset.UtcNow.AddHours(-1))) is StatusCode.Unavailable or StatusCode.Internal);
        Assert.Equal(StatusCode.OK, await CallTokenizerAsync(gateway, _authority.Sign("gateway")));
    }

    [Fact]
    public async Task A_gateway_does_not_talk_to_a_service_of_another_authority()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync("https", false, ["--Security:Authentication=keys", .. _authority.Settings("gateway")]);
        await gateway.StartTokenizerAsync(_forger.Settings("tokenizer"));
        using GrpcChannel channel = Connect(gateway.Address, null);
        string key = File.ReadAllText(gateway.Folder["access/admin.key"]).Trim();
        GetStatusResponse status = await new GatewayService.GatewayServiceClient(channel.Intercept(headers => With(headers, key))).GetStatusAsync(new GetStatusRequest(), cancellationToken: Cancellation);
        Assert.False(status.Services.Single(s => s.Service == "tokenizer").Serving);
    }

    [Fact]
    public void An_https_address_without_certificates_is_refused_with_all_that_is_missing()
    {
        Errors.DroverException e = Assert.Throws<Errors.DroverException>(() => GatewayModule.Build(["--Services:gateway=https://127.0.0.1:1", "--Security:AuthorityFile=/nowhere/ca.pem", $"--Drover:DataFolder={_folder.Path}"]));
        Assert.Contains("Security:CertificateFile is empty", e.Message, StringComparison.Ordinal);
        Assert.Contains("Security:PrivateKeyFile is empty", e.Message, StringComparison.Ordinal);
        Assert.Contains("there is no file '/nowhere/ca.pem'", e.Message, StringComparison.Ordinal);
    }

    private Task<GatewayFixture> StartAsync() => GatewayFixture.StartAsync("https", true, ["--Security:Authentication=keys", .. _authority.Settings("drover")]);

    private async Task<StatusCode> CallTokenizerAsync(GatewayFixture gateway, X509Certificate2? certificate)
    {
        using GrpcChannel channel = Connect(gateway.TokenizerAddress, certificate);
        try
        {
            await new TokenizerService.TokenizerServiceClient(channel).ListTokenizerJobsAsync(new ListTokenizerJobsRequest(), cancellationToken: Cancellation);
            return StatusCode.OK;
        }
        catch (RpcException e)
        {
            return e.StatusCode;
        }
        finally
        {
            certificate?.Dispose();
        }
    }

    private GrpcChannel Connect(string address, X509Certificate2? certificate)
    {
        var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        policy.CustomTrustStore.ImportFromPemFile(_authority.CertificateFile);
        var handler = new SocketsHttpHandler { SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = policy, ClientCertificates = certificate is null ? [] : [certificate] } };
        return GrpcChannel.ForAddress(address, new GrpcChannelOptions { HttpHandler = handler, DisposeHttpClient = true });
    }

    private static Metadata With(Metadata headers, string key)
    {
        headers.Add("authorization", $"Bearer {key}");
        return headers;
    }
}
