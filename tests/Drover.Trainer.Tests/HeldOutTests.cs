using Drover.Formats.Checkpoints;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Trainer.V1;
using Grpc.Core;

namespace Drover.Trainer.Tests;

/// <summary>Evaluation while a run goes on: events, TensorBoard, and the checkpoint that is marked best.</summary>
public sealed class HeldOutTests : IAsyncLifetime
{
    private TrainerWorld _world = null!;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _world = await TrainerWorld.StartAsync();
        // What a run learns of the other makes it worse at this: the best step is not the last.
        await _world.WriteDatasetAsync("datasets/other", TrainerWorld.Vocabulary, "tiny-tokenizer", stride: 5);
    }

    public ValueTask DisposeAsync() => _world.DisposeAsync();

    [Fact]
    public async Task A_run_is_evaluated_by_label_and_the_best_step_is_saved_and_can_be_asked_for()
    {
        TrainingSpec spec = Spec("evaluated");
        spec.Steps = 24;
        (TrainingJob job, EvaluationMetrics[] evaluations) = await RunAsync(spec);

        Assert.Equal([0, 4, 8, 12, 16, 20, 24], evaluations.Select(e => e.Step));
        Assert.All(evaluations, e => Assert.Equal(["tiny", "second"], e.Datasets.Select(d => d.Label)));
        Assert.All(evaluations, e => Assert.Equal(Math.Exp(e.Datasets[1].Loss), e.Datasets[1].Perplexity, 1e-9));
        EvaluationMetrics best = evaluations.Where(e => e.Step > 0).MinBy(e => e.Datasets[1].Loss)!;
        Assert.True(best.Step < 24, $"the best is {best.Step}: {string.Join(' ', evaluations.Select(e => e.Loss))}");
        Assert.Equal((RunKeys.Checkpoint("evaluated", best.Step), best.Datasets[1].Loss), (job.Result.BestCheckpoint, job.Result.BestLoss));
        Assert.Equal(evaluations[^1], job.Result.LastEvaluation);
        var found = (await _world.Checkpoints.GetCheckpointAsync(new GetCheckpointRequest { Name = "runs/evaluated/checkpoints/best" }, cancellationToken: Cancellation)).Checkpoint;
        Assert.Equal((best.Step, true, best.Datasets[1].Loss), (found.Step, found.IsBest, found.HeldOutLoss));
        CheckpointReader opened = await CheckpointReader.OpenAsync(_world.Store, "runs/evaluated/checkpoints/best", Cancellation);
        Assert.Equal(job.Result.BestCheckpoint, opened.Prefix);
        Assert.Equal(evaluations.Select(e => (e.Step, (float)e.Datasets[1].Loss)), await ScalarsAsync(job, "eval/second/loss"));
    }

    [Fact]
    public async Task The_best_mark_survives_a_kill_and_never_moves_to_a_worse_one()
    {
        TrainingSpec spec = Spec("killed");
        (spec.Steps, spec.CheckpointIntervalSteps) = (60, 2);
        (TrainingJob whole, EvaluationMetrics[] expected) = await RunAsync(spec);
        spec.Name = "killed-again";
        bool isKilled = false;
        (TrainingJob job, EvaluationMetrics[] evaluations) = await RunAsync(spec, update =>
        {
            if (update.CheckpointCommitted is { } saved && saved.Step > expected.Last(e => e.IsBest).Step && !isKilled)
            {
                isKilled = true;
                _world.KillWorkers();
            }
        });

        Assert.True(isKilled);
        Assert.Equal(expected.Select(e => (e.Step, e.Loss, e.IsBest)), evaluations.DistinctBy(e => e.Step).Select(e => (e.Step, e.Loss, e.IsBest)));
        Assert.Equal((RunKeys.Checkpoint("killed-again", expected.Last(e => e.IsBest).Step), whole.Result.BestLoss), (job.Result.BestCheckpoint, job.Result.BestLoss));
    }

    [Fact]
    public async Task Wrong_held_out_fields_are_told_together()
    {
        TrainingSpec spec = Spec("wrong");
        spec.HeldOut.Datasets.Add(new HeldOutDataset { Dataset = "datasets/else", Label = "second" });
        spec.HeldOut.Datasets.Add(new HeldOutDataset { Label = "a b" });
        (spec.HeldOut.IntervalSteps, spec.HeldOut.BestBy) = (-1, "third");
        RpcException refused = await Assert.ThrowsAsync<RpcException>(() => _world.CreateAsync(spec));
        Assert.Equal(StatusCode.InvalidArgument, refused.StatusCode);
        foreach (string problem in new[] { "interval_steps is -1", "without a dataset", "'second' is used 2 times", "best_by is 'third'" })
            Assert.Contains(problem, refused.Status.Detail, StringComparison.Ordinal);
    }

    private static TrainingSpec Spec(string name)
    {
        TrainingSpec spec = TrainerWorld.Spec(name);
        spec.Optimizer.LearningRate = 0.02;
        spec.HeldOut = new HeldOutSpec
        {
            Datasets = { new HeldOutDataset { Dataset = TrainerWorld.Dataset }, new HeldOutDataset { Dataset = "datasets/other", Label = "second" } },
            IntervalSteps = 4,
            AtStart = true,
            BestBy = "second",
            MaxRows = 20,
        };
        return spec;
    }

    private async Task<(TrainingJob Job, EvaluationMetrics[] Evaluations)> RunAsync(TrainingSpec spec, Action<JobEvent>? see = null)
    {
        (TrainingJob job, List<JobEvent> events) = await _world.RunAsync(spec, see);
        return (job, [.. events.Where(e => e.Evaluation is not null).Select(e => e.Evaluation)]);
    }

    private async Task<(long Step, float Value)[]> ScalarsAsync(TrainingJob job, string tag)
    {
        var scalars = new List<(long, float)>();
        await foreach (ObjectInfo file in _world.Store.ListAsync(job.Result.Tensorboard + "/", Cancellation))
            scalars.AddRange(TensorBoardReader.Read(await _world.Store.ReadAllBytesAsync(file.Key, Cancellation)).Where(s => s.Tag == tag).Select(s => (s.Step, s.Value)));
        return [.. scalars];
    }
}
