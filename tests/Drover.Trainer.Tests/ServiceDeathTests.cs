using System.Diagnostics;
using System.Runtime.InteropServices;
using Drover.Formats.Checkpoints;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Trainer.V1;
using Drover.Testing;
using Grpc.Core;
using Grpc.Net.Client;

namespace Drover.Trainer.Tests;

public sealed class ServiceDeathTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_killed_service_leaves_no_rank_behind_and_goes_on_when_it_starts_again()
    {
        Mpirun.Require();
        await using TrainerWorld world = await TrainerWorld.StartAsync();
        int port = LoopbackPort.Free();
        string[] arguments = [.. world.Arguments, $"--Services:trainer=http://127.0.0.1:{port}", $"--Jobs:DatabasePath={Path.Combine(world.Work, "other.db")}"];
        using var channel = GrpcChannel.ForAddress($"http://127.0.0.1:{port}");
        var trainer = new TrainerService.TrainerServiceClient(channel);
        CallOptions patient = new CallOptions(cancellationToken: Cancellation).WithWaitForReady();
        TrainingSpec spec = TrainerWorld.Spec("orphaned", ranks: 2);
        (spec.Steps, spec.CheckpointIntervalSteps) = (150, 10);

        string job;
        Process[] ranks;
        using (Process first = Start(arguments))
        {
            job = (await trainer.CreateTrainingJobAsync(new CreateTrainingJobRequest { Spec = spec }, patient)).Job.Job.Name;
            using var watch = trainer.WatchTrainingJob(new WatchTrainingJobRequest { Name = job }, patient);
            while (await watch.ResponseStream.MoveNext(Cancellation) && watch.ResponseStream.Current.Event.CheckpointCommitted is null)
            {
                // Until there is something to go on from.
            }

            ranks = [world.RankProcess("orphaned", 0), world.RankProcess("orphaned", 1)];
            first.Kill();
            await first.WaitForExitAsync(Cancellation);
        }

        foreach (Process rank in ranks)
            await rank.WaitForExitAsync(Cancellation);

        using Process second = Start(arguments);
        long resumedAt = 0;
        using (var watch = trainer.WatchTrainingJob(new WatchTrainingJobRequest { Name = job }, patient))
        {
            bool resumed = false;
            while (await watch.ResponseStream.MoveNext(Cancellation))
            {
                JobEvent update = watch.ResponseStream.Current.Event;
                resumed |= update.Log?.Message.StartsWith("Going on from", StringComparison.Ordinal) ?? false;
                if (resumed && resumedAt == 0 && update.StepMetrics is not null)
                    resumedAt = update.StepMetrics.Step;
            }
        }

        TrainingJob ended = (await trainer.GetTrainingJobAsync(new GetTrainingJobRequest { Name = job }, patient)).Job;
        second.Kill();
        await second.WaitForExitAsync(Cancellation);
        Assert.True(ended.Job.State == JobState.Succeeded, $"{ended.Job.State}: {ended.Job.Failure?.Message}\n{world.Logs()}");
        Assert.Equal(2, ended.Job.Attempt);
        Assert.Equal(150, ended.Result.Steps);
        Assert.True(resumedAt > 10 && resumedAt % 10 == 1, $"went on at step {resumedAt}");
    }

    [Theory]
    [InlineData("shard-00000.safetensors")]
    [InlineData(CheckpointManifest.FileName)]
    public async Task A_killed_run_whose_last_checkpoint_is_damaged_goes_on_from_the_one_before_and_says_so(string file)
    {
        await using TrainerWorld world = await TrainerWorld.StartAsync();
        TrainingSpec spec = TrainerWorld.Spec("undamaged");
        // Far apart: the one after the one that is damaged is not to be there yet when the kill comes.
        (spec.Steps, spec.CheckpointIntervalSteps) = (180, 60);
        double[] expected = await world.TrainAsync(spec);
        spec.Name = "damaged";
        string job = await world.CreateAsync(spec);
        bool isKilled = false;
        List<JobEvent> events = await world.WatchAsync(job, update =>
        {
            if (isKilled || update.CheckpointCommitted is not { Step: 120 } last)
                return Task.CompletedTask;
            isKilled = true;
            world.KillWorkers();
            Flip(world.PathOf($"{last.Checkpoint}/{file}"));
            return Task.CompletedTask;
        });
        TrainingJob ended = await world.GetAsync(job);
        Assert.True(ended.Job.State == JobState.Succeeded, $"{ended.Job.State}: {ended.Job.Failure?.Message}\n{world.Logs()}");
        string[] told = [.. events.Where(e => e.Log is not null).Select(e => $"{e.Log.Severity}: {e.Log.Message}")];
        Assert.Contains(told, line => line.StartsWith($"Warning: '{RunKeys.Checkpoint("damaged", 120)}' is damaged and passed over: ", StringComparison.Ordinal) && line.Contains(file, StringComparison.Ordinal));
        Assert.Contains($"Info: Going on from '{RunKeys.Checkpoint("damaged", 60)}'.", told);
        // Step 120 was saved anew over what was damaged, and nothing else came out than of the run that nobody touched.
        Assert.Equal(expected, TrainerWorld.Losses(events));
        foreach (long step in new long[] { 120, 180 })
            Assert.True((await world.Checkpoints.VerifyCheckpointAsync(new VerifyCheckpointRequest { Name = RunKeys.Checkpoint("damaged", step) }, cancellationToken: Cancellation)).Intact);
    }

    [Fact]
    public async Task A_run_of_which_every_checkpoint_is_damaged_fails_and_leaves_them_as_they_are()
    {
        await using TrainerWorld world = await TrainerWorld.StartAsync();
        TrainingSpec spec = TrainerWorld.Spec("lost");
        await world.TrainAsync(spec);
        string shard = world.PathOf($"{RunKeys.Checkpoint("lost", 20)}/shard-00000.safetensors");
        Flip(shard);
        byte[] before = await File.ReadAllBytesAsync(shard, Cancellation);
        string job = await world.CreateAsync(spec);
        await world.WatchAsync(job);
        TrainingJob ended = await world.GetAsync(job);
        Assert.Equal((JobState.Failed, "CHECKPOINTS_DAMAGED"), (ended.Job.State, ended.Job.Failure.Reason));
        Assert.Contains("shard-00000.safetensors", ended.Job.Failure.Message, StringComparison.Ordinal);
        Assert.Equal(before, await File.ReadAllBytesAsync(shard, Cancellation));
    }

    // Changes a byte in the middle, as a failing disk does.
    private static void Flip(string path)
    {
        using FileStream file = File.Open(path, FileMode.Open);
        file.Position = file.Length / 2;
        int value = file.ReadByte();
        file.Position--;
        file.WriteByte((byte)(value ^ 0x10));
    }

    private static Process Start(IEnumerable<string> arguments)
    {
        string dotnet = Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", "..", "dotnet"));
        return Process.Start(dotnet, [typeof(TrainerModule).Assembly.Location, .. arguments]);
    }
}
