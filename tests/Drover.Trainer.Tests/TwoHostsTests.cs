using System.Diagnostics;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Trainer.V1;
using Drover.Testing;

namespace Drover.Trainer.Tests;

/// <summary>Ranks on two hosts, which talk by TCP over a link that can break.</summary>
public sealed class TwoHostsTests
{
    [Fact]
    public async Task A_host_that_is_cut_off_is_named_and_the_run_goes_on_from_its_last_checkpoint_when_it_is_back()
    {
        Mpirun.Require();
        using SecondHost host = SecondHost.Start();
        await using TrainerWorld world = await TrainerWorld.StartAsync(host.TrainerArguments);
        TrainingSpec spec = TrainerWorld.Spec("undisturbed", ranks: 2);
        (spec.Steps, spec.CheckpointIntervalSteps) = (60, 10);
        double[] undisturbed = await world.TrainAsync(spec);

        spec.Name = "cut-off";
        string name = await world.CreateAsync(spec);
        long cutAt = 0;
        TimeSpan untilNoticed = default;
        List<JobEvent> events = await world.WatchAsync(name, update =>
        {
            if (update.CheckpointCommitted is not null && cutAt == 0)
            {
                cutAt = Stopwatch.GetTimestamp();
                host.CutOff();
            }
            else if (update.Log?.Message.Contains("ended early", StringComparison.Ordinal) == true)
            {
                untilNoticed = Stopwatch.GetElapsedTime(cutAt);
                host.Reconnect();
            }

            return Task.CompletedTask;
        });

        TrainingJob job = await world.GetAsync(name);
        Assert.True(job.Job.State == JobState.Succeeded, $"{job.Job.Failure?.Message}\n{world.Logs()}");
        // The next attempt may start before the host is back and end early too: the first is the one that lost it.
        string warning = events.First(e => e.Log?.Message.Contains("ended early", StringComparison.Ordinal) == true).Log.Message;
        Assert.Matches($"Rank 1 \\({host.Name}, process \\d+\\) has not answered", warning);
        Assert.Equal(undisturbed, TrainerWorld.Losses(events));
        // Nothing is left on either side.
        Assert.Empty(world.WorkerProcesses());
        TestContext.Current.SendDiagnosticMessage($"cut off: noticed after {untilNoticed.TotalSeconds:0.0} s");
    }
}
