using System.Diagnostics;
using Drover.Formats.Datasets;
using Drover.ObjectStore;
using Drover.Protocol.Common.V1;
using Drover.Protocol.DataPrep.V1;
using Drover.Testing;
using Drover.Tokenization;

namespace Drover.DataPrep.Tests;

/// <summary>The service and its workers as processes, killed without warning.</summary>
public sealed class KillTests : IDisposable
{
    private const int Kills = 20;
    private readonly TemporaryFolder _folder = new();
    private readonly DataPrepProcesses _processes;

    public KillTests() => _processes = new DataPrepProcesses($"--Drover:DataFolder={_folder.Path}");

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _processes.Dispose();
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

        Process service = _processes.StartService();
        string name = await _processes.CreateAsync(Spec());
        var workers = new List<Process>();
        int killed = 0;
        for (; killed < Kills; killed++)
        {
            while (workers.Count < 2)
                workers.Add(_processes.StartWorker());
            await Task.Delay(TimeSpan.FromMilliseconds(100 + random.Next(400)), Cancellation);
            Process victim = workers[random.Next(workers.Count)];
            workers.Remove(victim);
            _processes.Kill(victim);
            if (killed % 8 == 4)
            {
                _processes.Kill(service);
                service = _processes.StartService();
            }
        }

        _processes.StartWorker(workers: 2);
        DatasetBuild build = await _processes.FinishedAsync(name);
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

    /// <summary>About twenty tasks.</summary>
    internal static DatasetSpec Spec()
    {
        DatasetSpec spec = BuildTests.Spec("inputs/a.jsonl");
        (spec.TaskBytes, spec.MaxLength) = (100_000, 2048);
        return spec;
    }
}
