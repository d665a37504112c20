using Drover.DataPrep.Building;
using Drover.Errors;
using Drover.Formats.Datasets;
using Drover.ObjectStore;
using Drover.Protocol.Common.V1;
using Drover.Protocol.DataPrep.V1;
using Drover.Testing;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;

namespace Drover.DataPrep.Tests;

/// <summary>The service as it runs: Kestrel, gRPC, jobs in SQLite, workers as clients.</summary>
public sealed class ServiceTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly int _port = LoopbackPort.Free();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(4)]
    public async Task The_number_of_workers_changes_no_byte(int workers)
    {
        await PutInputsAsync();
        await using WebApplication app = await StartAsync(workers);
        DatasetBuild build = await BuildAsync(Spec());
        Assert.Equal(JobState.Succeeded, build.Job.State);
        Assert.Equal(build.Result.TokensIn, build.Result.TokensInRows + build.Result.TokensRejected);
        Assert.Equal(1, build.Result.LinesRejected);

        SortedDictionary<string, byte[]> expected = await UndisturbedAsync();
        Assert.True(expected.Count > 8);
        Assert.Equal(expected, Snapshot());
        await app.StopAsync(Cancellation);
    }

    [Fact]
    public async Task The_same_spec_is_recognised_and_another_one_under_the_name_refused()
    {
        await PutInputsAsync();
        await using WebApplication app = await StartAsync(2);
        Dataset first = (await BuildAsync(Spec())).Result;
        SortedDictionary<string, byte[]> before = Snapshot();
        Assert.Equal(first, (await BuildAsync(Spec())).Result);
        DatasetSpec other = Spec();
        other.MaxLength = 16;
        DatasetBuild refused = await BuildAsync(other);
        Assert.Equal(JobState.Failed, refused.Job.State);
        Assert.Equal((int)FailureCode.AlreadyExists, refused.Job.Failure.Code);
        Assert.Equal(before, Snapshot());
        DataPrepService.DataPrepServiceClient client = Client();
        Assert.Equal(first, (await client.GetDatasetAsync(new GetDatasetRequest { Dataset = "datasets/d" }, cancellationToken: Cancellation)).Dataset);
        await app.StopAsync(Cancellation);
    }

    [Fact]
    public async Task A_build_interrupted_by_a_stop_of_the_service_is_finished_by_the_next_one_and_by_a_worker_elsewhere()
    {
        await PutInputsAsync();
        string name;
        await using (WebApplication app = await StartAsync(workers: 0))
        {
            name = (await Client().CreateDatasetBuildAsync(new CreateDatasetBuildRequest { RequestId = "r", Spec = Spec() }, cancellationToken: Cancellation)).Build.Job.Name;
            // One task is leased by somebody who then is never heard of again.
            LeaseTaskResponse leased = await WorkerClient().LeaseTaskAsync(new LeaseTaskRequest { Worker = "dies" }, cancellationToken: Cancellation);
            Assert.Equal(0, leased.Task.Task);
            await app.StopAsync(Cancellation);
        }

        await using WebApplication again = await StartAsync(workers: 0, "--DataPrep:LeaseSeconds=1");
        // And once more, of the service that goes on: this lease runs out while the other tasks are done.
        Assert.Equal(0, (await WorkerClient().LeaseTaskAsync(new LeaseTaskRequest { Worker = "dies too" }, cancellationToken: Cancellation)).Task.Task);
        await using WebApplication worker = Build("--DataPrep:Role=worker", "--DataPrep:Workers=2");
        await worker.StartAsync(Cancellation);
        DatasetBuild build = await FinishAsync(name);
        Assert.Equal(JobState.Succeeded, build.Job.State);
        Assert.Equal(2, build.Job.Attempt);
        Assert.Equal(await UndisturbedAsync(), Snapshot());
        await worker.StopAsync(Cancellation);
        await again.StopAsync(Cancellation);
    }

    [Fact]
    public async Task A_spec_that_cannot_be_built_is_refused_at_once()
    {
        await using WebApplication app = await StartAsync(workers: 1);
        DataPrepService.DataPrepServiceClient client = Client();
        RpcException invalid = await Assert.ThrowsAsync<RpcException>(async () => await client.CreateDatasetBuildAsync(new CreateDatasetBuildRequest(), cancellationToken: Cancellation));
        Assert.Equal(StatusCode.InvalidArgument, invalid.StatusCode);
        RpcException missing = await Assert.ThrowsAsync<RpcException>(async () => await client.CreateDatasetBuildAsync(new CreateDatasetBuildRequest { Spec = Spec() }, cancellationToken: Cancellation));
        Assert.Equal(StatusCode.NotFound, missing.StatusCode);
        Assert.Empty((await client.ListDatasetBuildsAsync(new ListDatasetBuildsRequest(), cancellationToken: Cancellation)).Builds);
        await app.StopAsync(Cancellation);
    }

    [Fact]
    public async Task A_cancelled_build_leaves_no_manifest_and_its_leases_are_lost()
    {
        await PutInputsAsync();
        await using WebApplication app = await StartAsync(workers: 0);
        DataPrepService.DataPrepServiceClient client = Client();
        string name = (await client.CreateDatasetBuildAsync(new CreateDatasetBuildRequest { Spec = Spec() }, cancellationToken: Cancellation)).Build.Job.Name;
        LeaseTaskResponse leased = await WorkerClient().LeaseTaskAsync(new LeaseTaskRequest { Worker = "w" }, cancellationToken: Cancellation);
        await client.CancelDatasetBuildAsync(new CancelDatasetBuildRequest { Name = name }, cancellationToken: Cancellation);
        Assert.Equal(JobState.Cancelled, (await FinishAsync(name)).Job.State);
        RpcException lost = await Assert.ThrowsAsync<RpcException>(async () => await WorkerClient().RenewLeaseAsync(new RenewLeaseRequest { Lease = leased.Lease }, cancellationToken: Cancellation));
        Assert.Equal(StatusCode.FailedPrecondition, lost.StatusCode);
        Assert.False(File.Exists(_folder["objects/datasets/d/" + DatasetManifest.FileName]));
        await app.StopAsync(Cancellation);
    }

    [Fact]
    public async Task A_dataset_extends_another_without_doing_its_tasks_again_and_rows_keep_their_ids()
    {
        await PutInputsAsync();
        var store = new FolderObjectStore(_folder["objects"]);
        await store.PutBytesAsync("more/b.jsonl", (byte[])[.. "also not json\n"u8, .. BuildTests.Lines(130).AsSpan(BuildTests.Lines(50).Length)], PutCondition.None, Cancellation);
        await using WebApplication app = await StartAsync(2);
        DatasetSpec first = Spec();
        first.Deduplication = new Deduplication { Exact = true };
        Dataset old = (await BuildAsync(first)).Result;
        DatasetSpec more = first.Clone();
        (more.Name, more.Extends) = ("more", "datasets/d");
        more.Sources[0] = "more";
        DatasetBuild build = await BuildAsync(more);
        Assert.True(build.Job.State == JobState.Succeeded, build.Job.Failure?.Message);
        Dataset extended = build.Result;
        // Lines 50 to 119 were there before; 26 letters with 45 lengths give many twice anyway.
        Assert.Equal(old.LinesIn + 81, extended.LinesIn);
        Assert.Equal(extended.LinesIn, extended.Documents + extended.LinesRejected);
        Assert.Equal(old.LinesRejected + 1 + 80 - (extended.Documents - old.Documents), extended.LinesRejected);
        Assert.InRange(extended.Documents - old.Documents, 1, 10);
        Assert.Equal(extended.TokensIn, extended.TokensInRows + extended.TokensRejected);
        using PackedDataset before = await PackedDataset.OpenAsync(store, "datasets/d", _folder["cache"], Cancellation);
        using PackedDataset after = await PackedDataset.OpenAsync(store, "datasets/more", _folder["cache"], Cancellation);
        Assert.True(after.RowCount > before.RowCount);
        for (long row = 0; row < before.RowCount; row++)
            Assert.Equal(before.Read(row).InputIds, after.Read(row).InputIds);
        Assert.Equal(2, Directory.EnumerateFiles(_folder["objects/datasets/more/rejects"]).SelectMany(File.ReadLines).Count(l => l.Contains("MALFORMED_JSON", StringComparison.Ordinal)));

        more.MaxLength = 16;
        more.Name = "other";
        DatasetBuild refused = await BuildAsync(more);
        Assert.Contains("other rules", refused.Job.Failure.Message, StringComparison.Ordinal);
        await app.StopAsync(Cancellation);
    }

    [Fact]
    public async Task The_same_spec_is_recognised_though_its_sources_cannot_be_read_any_more()
    {
        await PutInputsAsync();
        await using WebApplication app = await StartAsync(2);
        Dataset first = (await BuildAsync(Spec())).Result;
        // The same size and time, so the store says that nothing changed: who reads it would notice.
        string path = _folder["objects/inputs/a.jsonl"];
        DateTime written = File.GetLastWriteTimeUtc(path);
        File.WriteAllBytes(path, new byte[new FileInfo(path).Length]);
        File.SetLastWriteTimeUtc(path, written);
        Assert.Equal(first, (await BuildAsync(Spec())).Result);
        await app.StopAsync(Cancellation);
    }

    [Fact]
    public async Task What_a_cancelled_build_finished_is_not_done_again()
    {
        await PutInputsAsync();
        await using WebApplication app = await StartAsync(workers: 0);
        DataPrepService.DataPrepServiceClient client = Client();
        string name = (await client.CreateDatasetBuildAsync(new CreateDatasetBuildRequest { Spec = Spec() }, cancellationToken: Cancellation)).Build.Job.Name;
        LeaseTaskResponse leased = await WorkerClient().LeaseTaskAsync(new LeaseTaskRequest { Worker = "w" }, cancellationToken: Cancellation);
        using (var alone = new BuildHarness())
        {
            var tasks = new BuildTask(new FolderObjectStore(_folder["objects"]), alone.Tokenizers, _folder["w"]);
            BuildPlan plan = await new BuildPlanner(new FolderObjectStore(_folder["objects"])).LoadAsync(new BuildKeys(leased.Task.Build), Cancellation);
            await tasks.RunAsync(plan, TaskPhase.Rows, leased.Task.Task, _ => { }, () => { }, Cancellation);
        }

        await WorkerClient().CompleteTaskAsync(new CompleteTaskRequest { Lease = leased.Lease }, cancellationToken: Cancellation);
        await client.CancelDatasetBuildAsync(new CancelDatasetBuildRequest { Name = name }, cancellationToken: Cancellation);
        Assert.Equal(JobState.Cancelled, (await FinishAsync(name)).Job.State);
        await client.CreateDatasetBuildAsync(new CreateDatasetBuildRequest { Spec = Spec() }, cancellationToken: Cancellation);
        Assert.NotEqual(leased.Task.Task, (await WorkerClient().LeaseTaskAsync(new LeaseTaskRequest { Worker = "w" }, cancellationToken: Cancellation)).Task.Task);
        await app.StopAsync(Cancellation);
    }

    [Fact]
    public async Task Rows_are_read_decoded_token_by_token()
    {
        await PutInputsAsync();
        await new FolderObjectStore(_folder["objects"]).PutTextAsync("inputs/a.jsonl", """{"source":"a","target":"b中国"}""", Cancellation);
        await using WebApplication app = await StartAsync(1);
        await BuildAsync(Spec());
        DataPrepService.DataPrepServiceClient client = Client();
        ReadDatasetRowsResponse read = await client.ReadDatasetRowsAsync(new ReadDatasetRowsRequest { Dataset = "datasets/d" }, cancellationToken: Cancellation);
        DatasetRow row = Assert.Single(read.Rows);
        Assert.Equal([10], row.DocumentLengths);
        Assert.Equal(["<1>", "a", "b", "", "", "中", "", "", "国", "<2>"], row.Texts);
        Assert.Equal([.. Enumerable.Repeat(PackedRow.Ignored, 2), .. row.InputIds.Skip(2)], row.Labels);
        RpcException past = await Assert.ThrowsAsync<RpcException>(async () => await client.ReadDatasetRowsAsync(new ReadDatasetRowsRequest { Dataset = "datasets/d", FirstRow = 1 }, cancellationToken: Cancellation));
        Assert.Equal(StatusCode.OutOfRange, past.StatusCode);
        await app.StopAsync(Cancellation);
    }

    private static DatasetSpec Spec()
    {
        DatasetSpec spec = BuildTests.Spec("inputs");
        spec.TaskBytes = 600;
        return spec;
    }

    private static byte[] Input() => [.. BuildTests.Lines(120), .. "not json\n"u8];

    private async Task PutInputsAsync()
    {
        var store = new FolderObjectStore(_folder["objects"]);
        await store.PutBytesAsync("inputs/a.jsonl", Input(), PutCondition.None, Cancellation);
        await store.PutTextAsync("tokenizers/t/tokenizer.json", "{}", Cancellation);
    }

    private WebApplication Build(params string[] args) => DataPrepModule.Build(
        [$"--Services:dataprep=http://127.0.0.1:{_port}", $"--Drover:DataFolder={_folder.Path}", .. args],
        _ => new TokenizerCache((_, _) => Task.FromResult<Tokenization.ITextTokenizer>(new ByteTokenizer())));

    // The same dataset, its tasks done one after the other without a service.
    private static async Task<SortedDictionary<string, byte[]>> UndisturbedAsync()
    {
        using var alone = new BuildHarness();
        await alone.PutAsync("inputs/a.jsonl", Input());
        (await alone.BuildAsync(Spec())).Dispose();
        return alone.Snapshot("datasets");
    }

    private async Task<WebApplication> StartAsync(int workers, params string[] args)
    {
        WebApplication app = Build([$"--DataPrep:Workers={workers}", .. args]);
        await app.StartAsync(Cancellation);
        return app;
    }

    private GrpcChannel Channel() => GrpcChannel.ForAddress($"http://127.0.0.1:{_port}");

    private DataPrepService.DataPrepServiceClient Client() => new(Channel());

    private DataPrepWorkerService.DataPrepWorkerServiceClient WorkerClient() => new(Channel());

    private async Task<DatasetBuild> BuildAsync(DatasetSpec spec) =>
        await FinishAsync((await Client().CreateDatasetBuildAsync(new CreateDatasetBuildRequest { Spec = spec }, cancellationToken: Cancellation)).Build.Job.Name);

    private async Task<DatasetBuild> FinishAsync(string name)
    {
        DataPrepService.DataPrepServiceClient client = Client();
        using AsyncServerStreamingCall<WatchDatasetBuildResponse> watch = client.WatchDatasetBuild(new WatchDatasetBuildRequest { Name = name }, cancellationToken: Cancellation);
        while (await watch.ResponseStream.MoveNext(Cancellation))
        {
        }

        return (await client.GetDatasetBuildAsync(new GetDatasetBuildRequest { Name = name }, cancellationToken: Cancellation)).Build;
    }

    private SortedDictionary<string, byte[]> Snapshot() =>
        new(Directory.EnumerateFiles(_folder["objects/datasets"], "*", SearchOption.AllDirectories)
            .ToDictionary(p => Path.GetRelativePath(_folder["objects"], p), File.ReadAllBytes), StringComparer.Ordinal);
}
