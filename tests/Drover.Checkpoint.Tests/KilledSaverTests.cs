using System.Diagnostics;
using System.Globalization;
using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;
using Drover.Testing;

namespace Drover.Checkpoint.Tests;

/// <summary>
/// kill -9 of a process that saves and publishes, at random moments: whatever it was doing, the latest checkpoint loads, it is never older
/// than the one before, and what is left over is found and removed. DROVER_TEST_KILLS says how often (the default is small); on S3 where
/// a server is named.
/// </summary>
public sealed class KilledSaverTests
{

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private static int Kills => int.TryParse(Environment.GetEnvironmentVariable("DROVER_TEST_KILLS"), CultureInfo.InvariantCulture, out int kills) ? kills : 4;

    [Fact]
    public async Task The_latest_checkpoint_loads_and_nothing_leaks_on_disk()
    {
        using var folder = new TemporaryFolder();
        await KillAsync("whole", 500, [$"--Drover:DataFolder={folder.Path}"]);
        Assert.Empty(Directory.GetFiles(folder["objects/.incoming"]));
    }

    [Fact]
    public async Task The_latest_checkpoint_loads_and_nothing_leaks_on_s3()
    {
        string[] server = S3Server.Settings(S3Server.Require($"killed-{Guid.NewGuid():N}"));
        using var folder = new TemporaryFolder();
        await KillAsync("parts", 1500, [$"--Drover:DataFolder={folder.Path}", .. server]);
    }

    private static async Task KillAsync(string size, int mostMilliseconds, string[] settings)
    {
        const long leftoverAge = 1;
        await using RunningService service = await RunningService.StartAsync(settings);
        long last = 0;
        for (int kill = 0; kill < Kills; kill++)
        {
            await SaveUntilKilledAsync(size, settings, Random.Shared.Next(mostMilliseconds));
            last = await LatestLoadsAsync(service, TestCheckpoint.ConfigOf(size), last);
        }

        // S3 tells the times of uploads in whole seconds.
        await Task.Delay(TimeSpan.FromSeconds(leftoverAge + 1), Cancellation);
        IReadOnlyList<ObjectInfo> unfinished = await service.Store.RemoveLeftoversAsync(TimeSpan.Zero, dryRun: true, Cancellation);
        TestContext.Current.SendDiagnosticMessage($"{Kills} kills left {unfinished.Count} unfinished uploads or temporary files; the latest step is {last}");
        var collect = new CollectGarbageRequest { IncludeUnpublished = true, LeftoverAgeSeconds = leftoverAge };
        await service.Client.CollectGarbageAsync(collect, cancellationToken: Cancellation);
        Assert.Equal(0, (await service.Client.CollectGarbageAsync(collect, cancellationToken: Cancellation)).Removal.Objects);
        Assert.Empty(await service.Store.RemoveLeftoversAsync(TimeSpan.Zero, dryRun: true, Cancellation));
        await NothingButCheckpointsAsync(service);
    }

    private static async Task SaveUntilKilledAsync(string size, string[] settings, int milliseconds)
    {
        string program = Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "..", "..", "Drover.Checkpoint.SaverProgram", Path.GetFileName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory)), "Drover.Checkpoint.SaverProgram"));
        using Process saver = Process.Start(new ProcessStartInfo(program, [$"http://127.0.0.1:{LoopbackPort.Free()}", size, .. settings]) { RedirectStandardOutput = true })!;
        string? line;
        do
        {
            line = await saver.StandardOutput.ReadLineAsync(Cancellation);
        }
        while (line is not null and not "saving");
        Assert.NotNull(line);
        Task rest = saver.StandardOutput.ReadToEndAsync(Cancellation);
        // The moment is what is tested: it is random, not waited for.
        await Task.Delay(milliseconds, Cancellation);
        Assert.False(saver.HasExited);
        saver.Kill();
        await saver.WaitForExitAsync(Cancellation);
        await rest;
    }

    private static async Task<long> LatestLoadsAsync(RunningService service, LlamaConfig config, long last)
    {
        ListCheckpointsResponse all = await service.Client.ListCheckpointsAsync(new ListCheckpointsRequest { Run = "killed" }, cancellationToken: Cancellation);
        Assert.NotEmpty(all.Checkpoints);
        Drover.Protocol.Checkpoint.V1.Checkpoint latest = (await service.Client.GetLatestCheckpointAsync(new GetLatestCheckpointRequest { Run = "killed" }, cancellationToken: Cancellation)).Checkpoint;
        Assert.True(latest.Step > last, $"{latest.Step} after {last}");
        CheckpointReader reader = await CheckpointReader.OpenAsync(service.Store, latest.Name, Cancellation);
        foreach ((string name, long[] shape) in LlamaTensors.All(config))
        {
            float[] values = new float[TensorBox.Count(shape)];
            await reader.ReadAsync(LogicalTensor.SecondMoment, name, values, Cancellation);
            Assert.Equal(TestCheckpoint.Values(LogicalTensor.SecondMoment, name, shape, latest.Step), values);
        }

        return latest.Step;
    }

    private static async Task NothingButCheckpointsAsync(RunningService service)
    {
        var named = new HashSet<string>();
        ListCheckpointsResponse all = await service.Client.ListCheckpointsAsync(new ListCheckpointsRequest { Run = "killed" }, cancellationToken: Cancellation);
        foreach (Drover.Protocol.Checkpoint.V1.Checkpoint checkpoint in all.Checkpoints)
        {
            CheckpointReader reader = await CheckpointReader.OpenAsync(service.Store, checkpoint.Name, Cancellation);
            named.UnionWith(reader.Manifest.Shards.Select(s => $"{checkpoint.Name}/{s.File}").Append($"{checkpoint.Name}/manifest.json"));
            Assert.True((await service.Client.VerifyCheckpointAsync(new VerifyCheckpointRequest { Name = checkpoint.Name }, cancellationToken: Cancellation)).Intact);
        }

        await foreach (ObjectInfo info in service.Store.ListAsync("runs/killed/checkpoints/step-", Cancellation))
            Assert.True(named.Remove(info.Key), $"'{info.Key}' is named by no manifest");
        Assert.Empty(named);
        // A kill between publication and retention leaves one more than is kept, until the next publication.
        Assert.InRange(all.Checkpoints.Count, 1, 3);
    }
}
