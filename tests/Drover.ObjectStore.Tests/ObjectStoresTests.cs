using System.Net;
using System.Net.Sockets;
using Drover.Errors;
using Drover.Testing;

namespace Drover.ObjectStore.Tests;

public sealed class ObjectStoresTests
{
    [Fact]
    public void All_that_is_wrong_with_the_options_is_told_at_once()
    {
        DroverException e = Assert.Throws<DroverException>(() => ObjectStores.Open(new ObjectStoreOptions { S3Endpoint = "here", S3Bucket = "No", S3Region = "" }));
        Assert.Equal(FailureCode.InvalidArgument, e.Code);
        foreach (string field in new[] { "S3Endpoint", "S3Bucket", "S3Region", "S3AccessKey", "S3SecretKey" })
            Assert.Contains("ObjectStore:" + field, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void No_store_and_two_stores_are_refused()
    {
        Assert.Throws<DroverException>(() => ObjectStores.Open(new ObjectStoreOptions()));
        Assert.Throws<DroverException>(() => ObjectStores.Open(new ObjectStoreOptions { Folder = "x", S3Endpoint = "http://127.0.0.1:1", S3AccessKey = "a", S3SecretKey = "b" }));
    }

    [Fact]
    public void A_secret_is_never_in_the_message()
    {
        DroverException e = Assert.Throws<DroverException>(() => ObjectStores.Open(new ObjectStoreOptions { S3Endpoint = "x", S3AccessKey = "a", S3SecretKey = "very-secret" }));
        Assert.DoesNotContain("very-secret", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_is_made_and_opened()
    {
        using var folder = new TemporaryFolder();
        Assert.IsType<FolderObjectStore>(ObjectStores.Open(new ObjectStoreOptions { Folder = folder["new/store"] }));
        Assert.True(Directory.Exists(folder["new/store"]));
    }

    [Fact]
    public async Task A_server_that_does_not_answer_is_unavailable_and_named()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        // A port that was free a moment ago: nobody listens there.
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        int port = ((IPEndPoint)probe.LocalEndpoint).Port;
        probe.Stop();
        var options = new ObjectStoreOptions { S3Endpoint = $"http://127.0.0.1:{port}", S3AccessKey = "a", S3SecretKey = "b", S3PatienceSeconds = 0 };
        IObjectStore store = ObjectStores.Open(options);
        using var owned = (IDisposable)store;
        foreach (Func<Task> action in new Func<Task>[]
        {
            async () => await store.FindAsync("a", cancellation),
            async () => await store.OpenReadAsync("a", 0, null, cancellation),
            async () => await store.PutTextAsync("a", "x", cancellation),
            async () => await store.DeleteAsync("a", cancellation),
        })
        {
            DroverException e = await Assert.ThrowsAsync<DroverException>(action);
            Assert.Equal(FailureCode.Unavailable, e.Code);
            Assert.Contains(options.S3Endpoint, e.Message, StringComparison.Ordinal);
        }
    }
}
