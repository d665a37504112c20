using System.Diagnostics;
using Drover.Formats.Datasets;
using Drover.ObjectStore;
using Drover.Protocol.Common.V1;
using Drover.Protocol.DataPrep.V1;
using Drover.Testing;
using Drover.Tokenization;
using Grpc.Core;
using Grpc.Net.Client;

namespace Drover.DataPrep.Tests;

/// <summary>The service and its workers as processes, killed without warning.</summary>
public sealed class KillTests : IDisposable
{
    private const int Kills = 20;
    private readonly TemporaryFolder _folder = new();
    private readonly string _address = $"http://127.0.0.1:{LoopbackPort.Free()}";
    private readonly List<Process> _workers = [];
    private Process? _service;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        foreach (Process process in _workers.Append(_service).OfType<Process>())
        {
            process.Kill();
            process.WaitForExit();
            process.Dispose();
        }

        _folder.Dispose();
    }

    [Fact]
    public async Task Twenty_killed_workers_and_two_killed_services_lose_no_row_and_change_no_byte()
    {
        byte[] text = await File.ReadAllBytesAsync(SharedData.Require("text_zh/chinese_classics.jsonl"), Cancellation);
        byte[] model = await File.ReadAllBytesAsync(SharedData.Require("tokenizers/llama2.tokenizer.model"), Cancellation);
        var store = new FolderObjectStore(_folder["objects"]);
        await store.PutBytesAsync("inputs/a.jsonl", text, PutCondition.None, Cancellation);
        await store.PutBytesAsync("tokenizers/t/tokenizer.model", model, PutCondition.None, Cancellation);
        var random = new Random(7);

        _service = Start("--DataPrep:Workers=0", "--DataPrep:LeaseSeconds=1");
        using var channel = GrpcChannel.ForAddress(_address);
        var client = new DataPrepService.DataPrepServiceClient(channel);
        var request = new CreateDatasetBuildRequest { RequestId = "r", Spec = Spec() };
        string name = (await AnsweredAsync(async () => await client.CreateDatasetBuildAsync(request, cancellationToken: Cancellation))).Build.Job.Name;
        int killed = 0;
        for (; killed < Kills; killed++)
        {
            while (_workers.Count < 2)
                _workers.Add(Start("--DataPrep:Role=worker", "--DataPrep:Workers=1"));
            await Task.Delay(TimeSpan.FromMilliseconds(100 + random.Next(400)), Cancellation);
            End(_workers[random.Next(_workers.Count)]);
            if (killed % 8 == 4)
            {
                _service.Kill();
                await _service.WaitForExitAsync(Cancellation);
                _service.Dispose();
                _service = Start("--DataPrep:Workers=0", "--DataPrep:LeaseSeconds=1");
            }
        }

        _workers.Add(Start("--DataPrep:Role=worker", "--DataPrep:Workers=2"));
        DatasetBuild build = await FinishedAsync(client, name);
        TestContext.Current.TestOutputHelper?.WriteLine($"{killed} workers killed, attempts of the job {build.Job.Attempt}, {build.Result?.Rows} rows");
        Assert.True(build.Job.State == JobState.Succeeded, build.Job.Failure?.Message);
        // A quick machine may be done before the second service is killed.
        Assert.InRange(build.Job.Attempt, 2, 3);
        Assert.Equal(build.Result!.TokensIn, build.Result.TokensInRows);

        using var alone = new BuildHarness(await TokenizerFolder.LoadAsync(store, "tokenizers/t", Cancellation));
        await alone.PutAsync("inputs/a.jsonl", text);
        using PackedDataset expected = await alone.BuildAsync(Spec());
        Assert.Equal(expected.ManifestHash, build.Result.ManifestHash);
        Assert.Equal(alone.Snapshot("datasets").Keys, Directory.EnumerateFiles(_folder["objects/datasets"], "*", SearchOption.AllDirectories).Select(f => Path.GetRelativePath(_folder["objects"], f)).Order(StringComparer.Ordinal));
    }

    private static DatasetSpec Spec()
    {
        DatasetSpec spec = BuildTests.Spec("inputs/a.jsonl");
        (spec.TaskBytes, spec.MaxLength) = (100_000, 2048);
        return spec;
    }

    private Process Start(params string[] args)
    {
        string program = Path.Combine(AppContext.BaseDirectory, "..", "..", "Drover.DataPrep", Path.GetFileName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory)), "Drover.DataPrep");
        var start = new ProcessStartInfo(program, [$"--Services:dataprep={_address}", $"--Drover:DataFolder={_folder.Path}", .. args]) { RedirectStandardOutput = true, RedirectStandardError = true };
        Process process = Process.Start(start)!;
        process.OutputDataReceived += (_, _) => { };
        process.ErrorDataReceived += (_, _) => { };
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        return process;
    }

    private void End(Process worker)
    {
        worker.Kill();
        worker.WaitForExit();
        worker.Dispose();
        _workers.Remove(worker);
    }

    private static async Task<T> AnsweredAsync<T>(Func<Task<T>> call)
    {
        while (true)
        {
            try
            {
                return await call();
            }
            catch (RpcException e) when (e.StatusCode == StatusCode.Unavailable)
            {
                await Task.Delay(50, Cancellation);
            }
        }
    }

    private static async Task<DatasetBuild> FinishedAsync(DataPrepService.DataPrepServiceClient client, string name)
    {
        while (true)
        {
            DatasetBuild build = (await AnsweredAsync(async () => await client.GetDatasetBuildAsync(new GetDatasetBuildRequest { Name = name }, cancellationToken: Cancellation))).Build;
            if (build.Job.State is JobState.Succeeded or JobState.Failed or JobState.Cancelled)
                return build;
            await Task.Delay(100, Cancellation);
        }
    }
}
