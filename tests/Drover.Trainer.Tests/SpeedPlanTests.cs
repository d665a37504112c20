using Drover.Protocol.Common.V1;
using Drover.Protocol.Trainer.V1;
using Drover.Testing;
using Grpc.Core;

namespace Drover.Trainer.Tests;

/// <summary>Plans with speeds: what is measured, proposed, refused, and shown beside what came of it. Not how good they are: see benchmarks.</summary>
public sealed class SpeedPlanTests : IAsyncLifetime
{
    private TrainerWorld _world = null!;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => _world = await TrainerWorld.StartAsync();

    public ValueTask DisposeAsync() => _world.DisposeAsync();

    [Fact]
    public async Task A_plan_predicts_the_speed_and_the_result_shows_it_beside_what_was_measured()
    {
        TrainingSpec spec = TrainerWorld.Spec("planned");
        TrainingPlan plan = (await PlanAsync(new PlanTrainingRequest { Spec = spec, Measure = true })).Plan;
        Assert.Equal("", plan.Speed.Missing);
        Assert.True(plan.Speed.TokensPerSecond > 0);
        Assert.Equal(8 * 24 / plan.Speed.StepSeconds, plan.Speed.TokensPerSecond, 1e-6);
        Assert.InRange(plan.Speed.ResidentBytes, 50_000_000, plan.Memory.LimitBytes);
        Assert.True(plan.Memory.Fits);
        // What was measured is not measured again.
        Assert.Equal(plan.Speed, (await PlanAsync(new PlanTrainingRequest { Spec = spec })).Plan.Speed);
        Assert.Empty(_world.AttemptFolders("calibrations"));

        string name = await _world.CreateAsync(spec);
        List<JobEvent> events = await _world.WatchAsync(name);
        PlanComparison comparison = (await _world.GetAsync(name)).Result.Plan;
        Assert.Equal(plan.Speed.TokensPerSecond, comparison.PlannedTokensPerSecond);
        Assert.True(comparison.MeasuredTokensPerSecond > 0);
        Assert.Equal(plan.RankPlans.Max(r => r.DeviceBytes + r.HostBytes), comparison.PlannedBytes);
        Assert.InRange((double)comparison.MeasuredBytes / comparison.PlannedBytes, 0.8, 1.0001);
        Assert.True(comparison.ResidentBytes > comparison.MeasuredBytes);
        Assert.Contains(events, e => e.Log?.Message.Contains("Predicted: ", StringComparison.Ordinal) == true);
    }

    [Fact]
    public async Task A_run_that_asks_for_it_is_measured_before_it_starts()
    {
        TrainingSpec spec = TrainerWorld.Spec("predicted");
        spec.PredictSpeed = true;
        string name = await _world.CreateAsync(spec);
        await _world.WatchAsync(name);
        Assert.True((await _world.GetAsync(name)).Result.Plan.PlannedTokensPerSecond > 0);
    }

    [Fact]
    public async Task Proposals_fit_and_are_ordered_by_speed()
    {
        Mpirun.Require();
        TrainingSpec spec = TrainerWorld.Spec("proposed", ranks: 2);
        spec.Parallelism = new ParallelismSpec { PipelineParallel = 2 };
        TrainingPlan plan = (await PlanAsync(new PlanTrainingRequest { Spec = spec, Propose = true })).Plan;
        Assert.InRange(plan.Proposals.Count, 3, 5);
        Assert.Equal(plan.Proposals.OrderByDescending(p => p.TokensPerSecond), plan.Proposals);
        Assert.Contains(plan.Proposals, p => p.Parallelism.PipelineParallel == 2);
        Assert.Contains(plan.Proposals, p => p.Parallelism.PipelineParallel == 1);
        Assert.All(plan.Proposals, p => Assert.InRange(p.NeededBytes, 1, plan.Memory.LimitBytes));
        // Each of them is a spec that runs.
        LayoutProposal best = plan.Proposals[0];
        (spec.Parallelism, spec.MicroBatchRows, spec.Recompute, spec.HeadChunkTokens, spec.Steps) = (best.Parallelism, best.MicroBatchRows, best.Recompute, best.HeadChunkTokens, 3);
        Assert.Equal(3, (await _world.TrainAsync(spec)).Length);
    }

    [Fact]
    public async Task What_does_not_fit_is_planned_but_not_begun()
    {
        TrainingSpec spec = TrainerWorld.Spec("large");
        spec.MemoryLimitBytes = 100_000_000;
        TrainingPlan plan = (await PlanAsync(new PlanTrainingRequest { Spec = spec, Measure = true })).Plan;
        Assert.Equal((false, 100_000_000), (plan.Memory.Fits, plan.Memory.LimitBytes));
        Assert.Null(plan.Speed);
        RpcException refused = await Assert.ThrowsAsync<RpcException>(() => _world.CreateAsync(spec));
        Assert.Equal(StatusCode.FailedPrecondition, refused.StatusCode);
        Assert.Contains("needs 0.28 GB and there are 0.1 GB", refused.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task More_ranks_than_cores_are_planned_without_a_speed()
    {
        TrainingSpec spec = TrainerWorld.Spec("many", ranks: 1024);
        (spec.GlobalBatchRows, spec.MicroBatchRows) = (1024, 1);
        TrainingPlan plan = (await PlanAsync(new PlanTrainingRequest { Spec = spec, Measure = true })).Plan;
        Assert.NotEqual("", plan.Speed?.Missing ?? "it does not fit");
    }

    private async Task<PlanTrainingResponse> PlanAsync(PlanTrainingRequest request) => await _world.Trainer.PlanTrainingAsync(request, cancellationToken: Cancellation);
}
