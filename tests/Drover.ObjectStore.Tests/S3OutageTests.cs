using Drover.Errors;
using Drover.Testing;

namespace Drover.ObjectStore.Tests;

/// <summary>A real S3 server behind TLS that goes away now and then.</summary>
public sealed class S3OutageTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly TlsProxy _proxy;
    private readonly ObjectStoreOptions _options;

    public S3OutageTests()
    {
        ObjectStoreOptions server = S3Server.Require("drover-test");
        _proxy = new TlsProxy(new Uri(server.S3Endpoint));
        File.WriteAllText(_folder["trusted.pem"], _proxy.CertificatePem);
        _options = server with { S3Endpoint = _proxy.Address, S3CertificateFile = _folder["trusted.pem"] };
    }

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _proxy?.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public async Task A_certificate_that_is_not_trusted_is_refused_and_one_of_the_options_is_trusted()
    {
        using var untrusting = new S3ObjectStore(_options with { S3CertificateFile = "" });
        DroverException e = await Assert.ThrowsAsync<DroverException>(async () => await untrusting.FindAsync("a", Cancellation));
        Assert.Equal(FailureCode.Unavailable, e.Code);
        using var trusting = new S3ObjectStore(_options);
        await trusting.PutTextAsync("tls/a", "x", Cancellation);
        Assert.Equal("x", await trusting.ReadTextAsync("tls/a", Cancellation));
    }

    [Fact]
    public async Task What_is_put_and_read_during_outages_arrives_whole()
    {
        IObjectStore store = ObjectStores.Open(_options with { S3PatienceSeconds = 60 });
        using var owned = (IDisposable)store;
        byte[] bytes = new byte[(11 << 20) + 5];
        new Random(3).NextBytes(bytes);
        using var stop = new CancellationTokenSource();
        Task outages = OutagesAsync(stop.Token);
        for (int i = 0; i < 6; i++)
        {
            string key = $"outage-{Guid.NewGuid():N}/a";
            await store.PutAsync(key, new UnseekableStream(bytes), i % 2 == 0 ? PutCondition.None : PutCondition.IfAbsent, Cancellation);
            Assert.Equal(bytes, await store.ReadAllBytesAsync(key, Cancellation));
            await store.DeleteAsync(key, Cancellation);
        }

        await stop.CancelAsync();
        await outages;
    }

    private async Task OutagesAsync(CancellationToken stop)
    {
        var random = new Random(5);
        while (!stop.IsCancellationRequested)
        {
            await Task.Delay(500 + random.Next(1500), CancellationToken.None);
            _proxy.IsAway = true;
            await Task.Delay(100 + random.Next(300), CancellationToken.None);
            _proxy.IsAway = false;
        }
    }
}
