using Drover.Errors;
using Drover.Testing;

namespace Drover.ObjectStore.Tests;

/// <summary>Against a real S3 server, named by DROVER_TEST_S3_ENDPOINT, _ACCESS_KEY and _SECRET_KEY.</summary>
public sealed class S3ObjectStoreTests : ObjectStoreContract, IDisposable
{
    private readonly S3ObjectStore _store;

    public S3ObjectStoreTests()
    {
        Options = S3Server.Require("drover-test");
        _store = new S3ObjectStore(Options);
    }

    protected override IObjectStore Store => _store;

    private ObjectStoreOptions Options { get; }

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _store?.Dispose();

    [Fact]
    public async Task A_wrong_secret_is_permission_denied()
    {
        using var store = new S3ObjectStore(Options with { S3SecretKey = "wrong" });
        Assert.Equal(FailureCode.PermissionDenied, await FailureOf(async () => await store.FindAsync("a", Cancellation)));
        Assert.Equal(FailureCode.PermissionDenied, await FailureOf(async () => await store.OpenReadAsync("a", 0, null, Cancellation)));
        Assert.Equal(FailureCode.PermissionDenied, await FailureOf(async () => await store.PutTextAsync("a", "x", Cancellation)));
        Assert.Equal(FailureCode.PermissionDenied, await FailureOf(async () => await store.DeleteAsync("a", Cancellation)));
        Assert.Equal(FailureCode.PermissionDenied, await FailureOf(async () => await ListAllAsync(store)));
    }

    [Fact]
    public async Task A_bucket_that_is_not_there_is_empty_and_is_made_by_the_first_put()
    {
        using var store = new S3ObjectStore(Options with { S3Bucket = "drover-" + Guid.NewGuid().ToString("N") });
        Assert.Null(await store.FindAsync("a", Cancellation));
        Assert.Equal(FailureCode.NotFound, await FailureOf(async () => await store.OpenReadAsync("a", 0, null, Cancellation)));
        await store.DeleteAsync("a", Cancellation);
        Assert.Equal(0, await ListAllAsync(store));
        await store.PutTextAsync("a", "x", Cancellation);
        Assert.Equal(1, await ListAllAsync(store));
        await store.DeleteAsync("a", Cancellation);
    }

    [Fact]
    public async Task More_objects_than_one_page_of_a_list_are_all_listed()
    {
        string home = "many-" + Guid.NewGuid().ToString("N");
        await Parallel.ForEachAsync(Enumerable.Range(0, 1100), Cancellation, async (i, c) => await _store.PutTextAsync($"{home}/{i:D5}", "", c));
        var keys = new List<string>();
        await foreach (ObjectInfo info in _store.ListAsync(home + "/", Cancellation))
            keys.Add(info.Key);
        Assert.Equal(Enumerable.Range(0, 1100).Select(i => $"{home}/{i:D5}"), keys);
        await Parallel.ForEachAsync(keys, Cancellation, async (key, c) => await _store.DeleteAsync(key, c));
    }

    private static async Task<int> ListAllAsync(S3ObjectStore store)
    {
        int count = 0;
        await foreach (ObjectInfo _ in store.ListAsync("", Cancellation))
            count++;
        return count;
    }
}
