using System.Diagnostics;
using System.Runtime.InteropServices;
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

    private static Process Start(IEnumerable<string> arguments)
    {
        string dotnet = Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", "..", "dotnet"));
        return Process.Start(dotnet, [typeof(TrainerModule).Assembly.Location, .. arguments]);
    }
}
