using System.Diagnostics;
using Drover.Protocol.Trainer.V1;
using Drover.Testing;

namespace Drover.Trainer.Tests;

/// <summary>How ranks are started, and where what they print goes.</summary>
public sealed class LaunchTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Ranks_are_bound_to_cores_only_when_asked_and_when_there_are_enough()
    {
        Assert.Contains("none", After("--bind-to", new TrainerOptions(), 2, 1));
        var bound = new TrainerOptions { Binding = RankBinding.Cores };
        Assert.Equal(["core"], After("--bind-to", bound, 2, 2));
        Assert.Equal(["slot:PE=2"], After("--map-by", bound, 2, 2));
        Assert.Equal(["none"], After("--bind-to", bound, 3, 2));
    }

    [Fact]
    public async Task Mpirun_understands_the_arguments_and_starts_ranks_from_a_host_file()
    {
        Mpirun.Require();
        await File.WriteAllTextAsync(_folder["hosts"], "localhost slots=2\n", Cancellation);
        foreach (string binding in Environment.ProcessorCount > 1 ? new[] { RankBinding.None, RankBinding.Cores } : [RankBinding.None])
        {
            var info = new ProcessStartInfo("mpirun") { RedirectStandardOutput = true, RedirectStandardError = true };
            (info.Environment["OMPI_ALLOW_RUN_AS_ROOT"], info.Environment["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"]) = ("1", "1");
            foreach (string argument in MpirunArguments.Of(new TrainerOptions { HostFile = _folder["hosts"], Binding = binding }, 2, 1, 2, ["PATH"]))
                info.ArgumentList.Add(argument);
            foreach (string argument in new[] { "sh", "-c", "echo rank $OMPI_COMM_WORLD_RANK" })
                info.ArgumentList.Add(argument);
            using Process mpirun = Process.Start(info)!;
            using (var logs = new RankLogs(_folder.Path))
                await Task.WhenAll(logs.PumpAsync(mpirun.StandardOutput), logs.PumpAsync(mpirun.StandardError));
            await mpirun.WaitForExitAsync(Cancellation);
            Assert.True(mpirun.ExitCode == 0, await File.ReadAllTextAsync(_folder["ranks.log"], Cancellation));
            Assert.Equal("rank 0\n", await File.ReadAllTextAsync(_folder["rank-0.log"], Cancellation));
            Assert.Equal("rank 1\n", await File.ReadAllTextAsync(_folder["rank-1.log"], Cancellation));
        }
    }

    [Fact]
    public void Only_lines_that_mpirun_tagged_belong_to_a_rank()
    {
        Assert.Equal((12, "a, b>: c"), RankLogs.Untagged("[1,12]<stderr>:a, b>: c"));
        foreach (string line in new[] { "", "mpirun noticed", "[node:1234] a, b]<x>:c", "[1,x]<stdout>:text", "text [1,2]<stdout>:text" })
            Assert.Null(RankLogs.Untagged(line));
    }

    [Fact]
    public async Task A_run_is_started_from_a_host_file_through_the_service()
    {
        Mpirun.Require();
        await File.WriteAllTextAsync(_folder["hosts"], "localhost slots=2\n", Cancellation);
        await using TrainerWorld world = await TrainerWorld.StartAsync($"--Trainer:HostFile={_folder["hosts"]}", "--Trainer:Binding=cores");
        TrainingSpec spec = TrainerWorld.Spec("listed", ranks: 2);
        spec.Parallelism = new ParallelismSpec { PipelineParallel = 2 };
        Assert.Equal(20, (await world.TrainAsync(spec)).Length);
    }

    private static string[] After(string option, TrainerOptions options, int ranks, int threads)
    {
        string[] arguments = [.. MpirunArguments.Of(options, ranks, threads, 4, [])];
        return [.. arguments.Where((_, i) => i > 0 && arguments[i - 1] == option)];
    }
}
