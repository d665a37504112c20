using System.Text.Json;
using Drover.ObjectStore;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Trainer.V1;
using Drover.Testing;
using Grpc.Core;

namespace Drover.Trainer.Tests;

/// <summary>Profiles of steps: what is in the trace and in the summary, by spec and on request.</summary>
public sealed class ProfileTests : IAsyncLifetime
{
    private TrainerWorld _world = null!;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => _world = await TrainerWorld.StartAsync();

    public ValueTask DisposeAsync() => _world.DisposeAsync();

    [Fact]
    public async Task A_profile_holds_the_blocks_and_border_actions_of_every_rank()
    {
        Mpirun.Require();
        TrainingSpec spec = TrainerWorld.Spec("profiled", ranks: 2);
        (spec.Recompute, spec.Parallelism, spec.Steps) = (true, new ParallelismSpec { TensorParallel = 2 }, 8);
        spec.Profile = new ProfileSpec { FirstStep = 5, Steps = 3 };
        await _world.TrainAsync(spec);

        using JsonDocument trace = JsonDocument.Parse(await _world.Store.ReadAllBytesAsync("runs/profiled/profiles/step-00000005/trace.json", Cancellation));
        JsonElement[] events = [.. trace.RootElement.GetProperty("traceEvents").EnumerateArray()];
        for (int rank = 0; rank < 2; rank++)
        {
            JsonElement[] mine = [.. events.Where(e => e.GetProperty("pid").GetInt32() == rank)];
            int Count(string category, string name) => mine.Count(e => e.GetProperty("cat").GetString() == category && e.GetProperty("name").GetString() == name && e.GetProperty("ph").GetString() == "X");
            // 3 steps of 4 micro-batches through 2 layers.
            foreach (string category in new[] { "forward", "recompute", "backward" })
                Assert.Equal((12, 12), (Count(category, "layer 0"), Count(category, "layer 1")));
            Assert.Equal((12, 12, 12), (Count("forward", "embedding"), Count("backward", "head and loss"), Count("backward", "embedding")));
            Assert.Equal((3, 3), (Count("optimizer", "update"), Count("data", "rows and counts")));
            Assert.Equal(["step 5", "step 6", "step 7"], mine.Where(e => e.GetProperty("cat").GetString() == "step").Select(e => e.GetProperty("name").GetString()));
            Assert.True(Count("wait", "tensor all-reduce") >= 12 * 4);
            Assert.Equal(mine.Count(e => e.GetProperty("ph").GetString() == "b"), mine.Count(e => e.GetProperty("ph").GetString() == "e"));
            JsonElement step = mine.Single(e => e.GetProperty("name").GetString() == "step 6");
            double first = step.GetProperty("ts").GetDouble(), last = first + step.GetProperty("dur").GetDouble();
            double inside = mine.Where(e => e.GetProperty("ph").GetString() == "X" && e.GetProperty("cat").GetString() is "forward" or "backward" or "optimizer" or "data")
                .Where(e => e.GetProperty("ts").GetDouble() is var ts && ts >= first && ts < last).Sum(e => e.GetProperty("dur").GetDouble());
            Assert.InRange(inside / (last - first), 0.5, 1.001);
        }

        string summary = await _world.Store.ReadTextAsync("runs/profiled/profiles/step-00000005/summary.txt", Cancellation);
        Assert.StartsWith("Steps 5 to 7 on 2 ranks", summary, StringComparison.Ordinal);
        foreach (string line in new[] { "forward layer 1", "recompute layer 0", "backward head and loss", "optimizer update", "tensor all-reduce", "all of these" })
            Assert.Contains($"\n{line} ", summary, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_running_job_is_profiled_on_request_and_another_is_not()
    {
        TrainingSpec spec = TrainerWorld.Spec("asked");
        spec.Steps = 100_000;
        string name = await _world.CreateAsync(spec);
        bool isAsked = false;
        List<JobEvent> events = await _world.WatchAsync(name, async update =>
        {
            if (update.StepMetrics is not null && !isAsked)
            {
                isAsked = true;
                ProfileTrainingJobResponse answer = await _world.Trainer.ProfileTrainingJobAsync(new ProfileTrainingJobRequest { Name = name, Steps = 1 }, cancellationToken: Cancellation);
                Assert.Equal("runs/asked/profiles", answer.Profiles);
            }

            if (update.Log?.Message.StartsWith("Profile of steps ", StringComparison.Ordinal) == true)
                await _world.Trainer.CancelTrainingJobAsync(new CancelTrainingJobRequest { Name = name }, cancellationToken: Cancellation);
        });

        string told = Assert.Single(events, e => e.Log?.Message.StartsWith("Profile of steps ", StringComparison.Ordinal) == true).Log.Message;
        string trace = told[(told.LastIndexOf("runs/", StringComparison.Ordinal))..told.LastIndexOf('\'')];
        Assert.NotNull(await _world.Store.FindAsync(trace, Cancellation));
        RpcException refused = await Assert.ThrowsAsync<RpcException>(async () => await _world.Trainer.ProfileTrainingJobAsync(new ProfileTrainingJobRequest { Name = name }, cancellationToken: Cancellation));
        Assert.Equal(StatusCode.FailedPrecondition, refused.StatusCode);
    }
}
