using Drover.Formats.Datasets;
using Drover.ObjectStore;
using Drover.Protocol.Common.V1;
using Drover.Protocol.DataPrep.V1;
using Drover.Testing;
using Drover.Tokenization;

namespace Drover.DataPrep.Tests;

/// <summary>A service and two workers on a real S3 server that stops to answer in the middle of a build.</summary>
public sealed class SilentStoreTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly FreezingProxy _proxy;
    private readonly ObjectStoreOptions _options;

    public SilentStoreTests()
    {
        ObjectStoreOptions server = S3Server.Require("drover-" + Guid.NewGuid().ToString("N"));
        _proxy = new FreezingProxy(new Uri(server.S3Endpoint));
        _options = server with { S3Endpoint = _proxy.Address };
    }

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _proxy?.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public Task A_store_that_is_silent_for_seconds_loses_no_row_and_changes_no_byte() => BuildAsync(TimeSpan.FromSeconds(5));

    [Fact(Explicit = true)]
    public Task A_store_that_is_silent_for_a_minute_loses_no_row_and_changes_no_byte() => BuildAsync(TimeSpan.FromSeconds(60));

    private async Task BuildAsync(TimeSpan silence)
    {
        byte[] text = await File.ReadAllBytesAsync(SharedData.Require("text_zh/chinese_classics.jsonl"), Cancellation);
        byte[] model = await File.ReadAllBytesAsync(SharedData.Require("tokenizers/llama2.tokenizer.model"), Cancellation);
        IObjectStore store = ObjectStores.Open(_options);
        using var owned = (IDisposable)store;
        await store.PutBytesAsync("inputs/a.jsonl", text, PutCondition.None, Cancellation);
        await store.PutBytesAsync("tokenizers/t/tokenizer.model", model, PutCondition.None, Cancellation);
        using var processes = new DataPrepProcesses([$"--Drover:DataFolder={_folder["data"]}", .. S3Server.Settings(_options)]);
        processes.StartService();
        processes.StartWorker();
        processes.StartWorker();
        DatasetSpec spec = KillTests.Spec();
        string name = await processes.CreateAsync(spec);
        while ((await processes.GetAsync(name)).Job.Progress?.Done is null or 0)
            await Task.Delay(5, Cancellation);
        _proxy.IsFrozen = true;
        await Task.Delay(silence, Cancellation);
        DatasetBuild frozen = await processes.GetAsync(name);
        _proxy.IsFrozen = false;
        Assert.Equal(JobState.Running, frozen.Job.State);

        DatasetBuild build = await processes.FinishedAsync(name);
        Assert.True(build.Job.State == JobState.Succeeded, build.Job.Failure?.Message);
        using var alone = new BuildHarness(await TokenizerFolder.LoadAsync(store, "tokenizers/t", Cancellation));
        await alone.PutAsync("inputs/a.jsonl", text);
        using PackedDataset expected = await alone.BuildAsync(spec);
        Assert.Equal(expected.ManifestHash, build.Result!.ManifestHash);
        var stored = new SortedDictionary<string, byte[]>(StringComparer.Ordinal);
        await foreach (ObjectInfo file in store.ListAsync("datasets", Cancellation))
            stored.Add(file.Key, await store.ReadAllBytesAsync(file.Key, Cancellation));
        SortedDictionary<string, byte[]> wanted = alone.Snapshot("datasets");
        Assert.Equal(wanted.Keys, stored.Keys);
        Assert.All(wanted, w => Assert.True(w.Value.AsSpan().SequenceEqual(stored[w.Key]), w.Key));
    }
}
