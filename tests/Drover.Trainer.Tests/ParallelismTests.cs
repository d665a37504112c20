using System.Diagnostics;
using Drover.ObjectStore;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Trainer.V1;
using Drover.Testing;
using Google.Protobuf;
using Grpc.Core;

namespace Drover.Trainer.Tests;

/// <summary>Layouts as users choose them: refused, planned, run, changed in the middle of a run, and broken.</summary>
public sealed class ParallelismTests : IAsyncLifetime
{
    private TrainerWorld _world = null!;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => _world = await TrainerWorld.StartAsync();

    public ValueTask DisposeAsync() => _world.DisposeAsync();

    [Fact]
    public async Task Everything_wrong_with_a_layout_is_told_at_once_with_what_would_work()
    {
        TrainingSpec spec = TrainerWorld.Spec("impossible", ranks: 7);
        spec.Steps = -1;
        spec.Parallelism = new ParallelismSpec { TensorParallel = 4, PipelineParallel = 1, PartsPerRank = 2, OffloadWeights = true, SequenceMode = SequenceMode.Ring };
        RpcException refused = await Assert.ThrowsAsync<RpcException>(() => _world.CreateAsync(spec));
        Assert.Equal(StatusCode.InvalidArgument, refused.StatusCode);
        foreach (string part in new[]
        {
            "steps is -1",
            "ranks (7) is not a multiple of tensor_parallel x pipeline_parallel x sequence_parallel (4); the nearest that works is 4",
            "num_key_value_heads (2) is not a multiple of tensor_parallel (4); the largest that works is 2",
            "parts_per_rank above 1 needs pipeline_parallel above 1",
            "offload_weights needs zero3",
            "ring and all_to_all need sequence_parallel above 1",
        })
            Assert.Contains(part, refused.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_unknown_preset_is_refused_with_the_known_ones()
    {
        TrainingSpec spec = TrainerWorld.Spec("unknown");
        spec.Parallelism = new ParallelismSpec { Preset = "zero4" };
        RpcException refused = await Assert.ThrowsAsync<RpcException>(() => _world.CreateAsync(spec));
        Assert.Contains("parallelism.preset is 'zero4'; it may be ddp, zero1, zero2, zero2_cpu, zero3, gemini, gemini_auto, 3d", refused.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Replicas_and_not_ranks_divide_the_batch()
    {
        TrainingSpec spec = TrainerWorld.Spec("batch", ranks: 8);
        (spec.GlobalBatchRows, spec.Parallelism) = (4, new ParallelismSpec { Preset = "3d" });
        TrainingPlan plan = await PlanAsync(spec);
        Assert.Equal((2, 1), (plan.DataParallel, plan.MicroBatches));
        spec.GlobalBatchRows = 5;
        RpcException refused = await Assert.ThrowsAsync<RpcException>(() => PlanAsync(spec));
        Assert.Contains("times the data-parallel replicas (2); the nearest that works is 4", refused.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_is_set_beside_a_preset_wins()
    {
        TrainingSpec spec = TrainerWorld.Spec("preset", ranks: 4);
        spec.Parallelism = new ParallelismSpec { Preset = "3d", PipelineParallel = 1, Placement = StatePlacement.Zero2 };
        ParallelismSpec resolved = (await PlanAsync(spec)).Parallelism;
        Assert.Equal((2, 1, StatePlacement.Zero2), (resolved.TensorParallel, resolved.PipelineParallel, resolved.Placement));
        spec.Parallelism = new ParallelismSpec { Preset = "zero2_cpu", OffloadOptimizer = false };
        Assert.False((await PlanAsync(spec)).Parallelism.OffloadOptimizer);
    }

    [Fact]
    public async Task A_plan_needs_no_dataset_and_shows_where_everything_lies()
    {
        var spec = new TrainingSpec { FromScratch = new FromScratch { Config = TrainerWorld.Config }, Ranks = 4, GlobalBatchRows = 4, Parallelism = new ParallelismSpec { Preset = "3d" } };
        TrainingPlan plan = (await _world.Trainer.PlanTrainingAsync(new PlanTrainingRequest { Spec = spec, RowTokens = 100 }, cancellationToken: Cancellation)).Plan;
        Assert.Equal(["embedding", "layer 0"], plan.RankPlans[1].Blocks);
        Assert.Equal(["layer 1", "head"], plan.RankPlans[2].Blocks);
        Assert.Equal((0, 1), (plan.RankPlans[1].Pipeline, plan.RankPlans[1].Tensor));
        Assert.Equal(100, plan.MicroBatchTokens);
        Assert.Equal(1 / 5.0, plan.PipelineBubble, 1e-12);
        WeightPlan output = Assert.Single(plan.Weights, w => w.Name == "model.layers.*.self_attn.o_proj.weight");
        Assert.Equal((2, 1), (output.Count, output.CutDim));
        Assert.Equal([32L, 16L], output.PartShape);
        Assert.False(Assert.Single(plan.Weights, w => w.Name == "model.norm.weight").HasCutDim);
        // bf16: 2 bytes for compute, 4 for the gradient, 12 for master and moments of the one replica.
        Assert.All(plan.RankPlans, r => Assert.Equal(18 * r.WeightCount, r.Memory.Where(m => m.MemoryClass < MemoryClass.Activations).Sum(m => m.Bytes)));
        Assert.Equal([true, true, false, false], plan.RankPlans.Select(r => r.LogitsBytes == 0));
    }

    [Fact]
    public async Task A_run_goes_on_under_another_layout_as_if_nothing_had_happened()
    {
        Mpirun.Require();
        double[] undisturbed = await _world.TrainAsync(Long("undisturbed"));
        TrainingSpec spec = Long("moved");
        List<double> losses = [];
        await AddAsync("ddp", stopAfter: 4);
        await AddAsync("zero1", stopAfter: 8, tensorParallel: 2);
        await AddAsync("zero3", stopAfter: int.MaxValue);
        Assert.Equal(undisturbed.Length, losses.Count);
        foreach ((double expected, double actual) in undisturbed.Zip(losses))
            Assert.Equal(expected, actual, 1e-5 * expected);
        TrainingPlan stored = JsonParser.Default.Parse<TrainingPlan>(await _world.Store.ReadTextAsync("runs/moved/plan.json", Cancellation));
        Assert.Equal(StatePlacement.Zero3, stored.Parallelism.Placement);

        async Task AddAsync(string preset, int stopAfter, int tensorParallel = 0)
        {
            (spec.Ranks, spec.Parallelism) = (2, new ParallelismSpec { Preset = preset, TensorParallel = tensorParallel });
            string job = await _world.CreateAsync(spec);
            bool asked = false;
            List<JobEvent> events = await _world.WatchAsync(job, async update =>
            {
                if (update.StepMetrics?.Step >= stopAfter && !asked)
                {
                    asked = true;
                    await _world.Trainer.CancelTrainingJobAsync(new CancelTrainingJobRequest { Name = job }, cancellationToken: Cancellation);
                }
            });
            TrainingJob ended = await _world.GetAsync(job);
            Assert.True(ended.Job.State == (asked ? JobState.Cancelled : JobState.Succeeded), $"{preset}: {ended.Job.State}: {ended.Job.Failure?.Message}\n{_world.Logs()}");
            Assert.Contains(events, e => e.Log?.Message.StartsWith("Layout: 2 ranks = ", StringComparison.Ordinal) == true);
            losses.AddRange(TrainerWorld.Losses(events));
        }

        static TrainingSpec Long(string name)
        {
            TrainingSpec spec = TrainerWorld.Spec(name);
            // Long enough to be stopped twice on the way, and learning slowly: rounding has no time to grow.
            (spec.Steps, spec.Optimizer) = (400, new OptimizerSpec { LearningRate = 1e-4 });
            return spec;
        }
    }

    [Fact]
    public async Task A_stopped_rank_is_named_and_the_run_goes_on_from_its_last_checkpoint()
    {
        Mpirun.Require();
        TrainingSpec spec = TrainerWorld.Spec("frozen", ranks: 2);
        (spec.Steps, spec.CheckpointIntervalSteps) = (120, 10);
        string name = await _world.CreateAsync(spec);
        Process? frozen = null;
        List<JobEvent> events = await _world.WatchAsync(name, async update =>
        {
            if (update.CheckpointCommitted is null || frozen is not null)
                return;
            frozen = _world.RankProcess("frozen", 1);
            using Process stop = Process.Start("kill", ["-STOP", frozen.Id.ToString(System.Globalization.CultureInfo.InvariantCulture)]);
            await stop.WaitForExitAsync(Cancellation);
        });

        TrainingJob job = await _world.GetAsync(name);
        Assert.True(job.Job.State == JobState.Succeeded, $"{job.Job.Failure?.Message}\n{_world.Logs()}");
        Assert.NotNull(frozen);
        string warning = Assert.Single(events, e => e.Log?.Message.Contains("ended early", StringComparison.Ordinal) == true).Log.Message;
        Assert.Contains($"Rank 1 ({Environment.MachineName}, process {frozen.Id}) has not answered", warning, StringComparison.Ordinal);
        Assert.Contains(events, e => e.Log?.Message.StartsWith("Going on from 'runs/frozen/checkpoints/", StringComparison.Ordinal) == true);
        Assert.Equal(120, TrainerWorld.Losses(events).Length);
        Assert.Empty(_world.WorkerProcesses());
    }

    private async Task<TrainingPlan> PlanAsync(TrainingSpec spec) =>
        (await _world.Trainer.PlanTrainingAsync(new PlanTrainingRequest { Spec = spec }, cancellationToken: Cancellation)).Plan;
}
