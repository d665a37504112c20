using Drover.DataPrep.Building;
using Drover.Errors;
using Drover.Protocol.DataPrep.V1;
using Microsoft.Extensions.Time.Testing;

namespace Drover.DataPrep.Tests;

public sealed class CoordinatorTests : IDisposable
{
    private static readonly TimeSpan LeaseTime = TimeSpan.FromSeconds(60);
    private readonly BuildHarness _harness = new();
    private readonly FakeTimeProvider _time = new();
    private readonly BuildCoordinator _coordinator;

    public CoordinatorTests() => _coordinator = new BuildCoordinator(_harness.Store, _time, LeaseTime);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _harness.Dispose();

    [Fact]
    public async Task A_task_whose_worker_fell_silent_goes_to_another_and_the_first_one_is_told()
    {
        (BuildPlan plan, ActiveBuild build) = await StartAsync();
        LeaseTaskResponse first = _coordinator.Lease();
        _time.Advance(LeaseTime / 2);
        _coordinator.Renew(first.Lease, new TaskProgress(10, 2, 3));
        _time.Advance(LeaseTime / 2);
        Assert.Equal(1, _coordinator.Lease().Task.Task);
        Assert.Equal(new TaskProgress(10, 2, 3), _coordinator.Progress(build));
        _time.Advance(LeaseTime / 2);
        LeaseTaskResponse second = _coordinator.Lease();
        Assert.Equal(0, second.Task.Task);
        Assert.Equal(FailureCode.FailedPrecondition, Assert.Throws<DroverException>(() => _coordinator.Renew(first.Lease, new TaskProgress(20, 2, 3))).Code);
        await _harness.Tasks.RunAsync(plan, TaskPhase.Rows, 0, _ => { }, () => { }, Cancellation);
        Assert.Equal("LEASE_LOST", (await Assert.ThrowsAsync<DroverException>(() => _coordinator.CompleteAsync(first.Lease, Cancellation))).Reason);
        await _coordinator.CompleteAsync(second.Lease, Cancellation);
    }

    [Fact]
    public async Task A_build_ends_when_every_task_has_its_record_and_not_before()
    {
        (BuildPlan plan, ActiveBuild build) = await StartAsync();
        for (int task = 0; task < plan.Tasks.Count; task++)
        {
            LeaseTaskResponse leased = _coordinator.Lease();
            Assert.Equal("NO_COMPLETION_RECORD", (await Assert.ThrowsAsync<DroverException>(() => _coordinator.CompleteAsync(leased.Lease, Cancellation))).Reason);
            Assert.False(build.Finished.IsCompleted);
            await _harness.Tasks.RunAsync(plan, TaskPhase.Rows, leased.Task.Task, _ => { }, () => { }, Cancellation);
            await _coordinator.CompleteAsync(leased.Lease, Cancellation);
        }

        await build.Finished;
        Assert.Null(_coordinator.Lease().Task);
    }

    [Fact]
    public async Task Workers_are_listed_with_what_they_do_until_they_fall_silent()
    {
        (BuildPlan plan, _) = await StartAsync();
        LeaseTaskResponse first = _coordinator.Lease("b");
        _coordinator.Renew(first.Lease, new TaskProgress(10, 2, 3));
        while (_coordinator.Lease("a").Task is not null)
        {
        }

        IReadOnlyList<Worker> workers = _coordinator.Workers();
        Assert.Equal(["a", "b"], workers.Select(worker => worker.Name));
        Assert.Equal((plan.Dataset, 0, plan.Tasks.Count, 10L), (workers[1].Dataset, workers[1].Task, workers[1].Tasks, workers[1].DoneBytes));
        _time.Advance(LeaseTime * 3);
        _coordinator.Lease("a");
        Assert.Equal("a", Assert.Single(_coordinator.Workers()).Name);
    }

    [Fact]
    public async Task A_new_coordinator_hands_out_only_what_has_no_record()
    {
        (BuildPlan plan, _) = await StartAsync();
        await _harness.Tasks.RunAsync(plan, TaskPhase.Rows, 1, _ => { }, () => { }, Cancellation);
        var restarted = new BuildCoordinator(_harness.Store, _time, LeaseTime);
        await restarted.StartAsync(plan, TaskPhase.Rows, Cancellation);
        Assert.Equal([0, 2], new[] { restarted.Lease().Task.Task, restarted.Lease().Task.Task });
    }

    [Fact]
    public async Task A_failure_that_may_pass_is_tried_three_times_and_any_other_ends_the_build()
    {
        (_, ActiveBuild build) = await StartAsync();
        var unavailable = new DroverException(FailureCode.Unavailable, "STORE_DOWN", "The store is down.");
        _coordinator.Fail(_coordinator.Lease().Lease, unavailable);
        _coordinator.Fail(_coordinator.Lease().Lease, null);
        _coordinator.Fail(_coordinator.Lease().Lease, unavailable);
        Assert.False(build.Finished.IsCompleted);
        _coordinator.Fail(_coordinator.Lease().Lease, unavailable);
        Assert.Equal("STORE_DOWN", (await Assert.ThrowsAsync<DroverException>(() => build.Finished)).Reason);
        _coordinator.End(build);

        (_, ActiveBuild other) = await StartAsync();
        _coordinator.Fail(_coordinator.Lease().Lease, new DroverException(FailureCode.ResourceExhausted, "DISK_FULL", "The disk is full."));
        DroverException e = await Assert.ThrowsAsync<DroverException>(() => other.Finished);
        Assert.Equal(FailureCode.ResourceExhausted, e.Code);
        Assert.Contains("inputs/a.jsonl", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_task_that_kills_its_workers_ends_the_build()
    {
        (_, ActiveBuild build) = await StartAsync();
        for (int i = 0; i < 10; i++)
        {
            Assert.Equal(0, _coordinator.Lease().Task.Task);
            _time.Advance(LeaseTime);
        }

        Assert.Null(_coordinator.Lease().Task);
        Assert.Equal("TASK_KEEPS_DYING", (await Assert.ThrowsAsync<DroverException>(() => build.Finished)).Reason);
    }

    [Fact]
    public async Task A_worker_that_waits_gets_a_task_as_soon_as_a_build_begins()
    {
        Task<LeaseTaskResponse> waiting = _coordinator.LeaseAsync(TimeSpan.FromHours(1), Cancellation);
        Assert.False(waiting.IsCompleted);
        await StartAsync();
        Assert.Equal(0, (await waiting).Task.Task);
    }

    [Fact]
    public async Task One_dataset_is_built_by_one_job_at_a_time()
    {
        await StartAsync();
        Assert.Equal(FailureCode.Aborted, (await Assert.ThrowsAsync<DroverException>(StartAsync)).Code);
    }

    private async Task<(BuildPlan Plan, ActiveBuild Build)> StartAsync()
    {
        await _harness.PutAsync("inputs/a.jsonl", BuildTests.Lines(30));
        DatasetSpec spec = BuildTests.Spec("inputs/a.jsonl");
        spec.TaskBytes = 600;
        BuildPlan plan = await _harness.PlanAsync(spec);
        Assert.Equal(3, plan.Tasks.Count);
        return (plan, await _coordinator.StartAsync(plan, TaskPhase.Rows, Cancellation));
    }
}
