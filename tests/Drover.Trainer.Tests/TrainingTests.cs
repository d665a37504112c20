using Drover.Formats.Checkpoints;
using Drover.ObjectStore;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Trainer.V1;
using Drover.Testing;
using Microsoft.Extensions.Logging;

namespace Drover.Trainer.Tests;

public sealed class TrainingTests : IAsyncLifetime
{
    private TrainerWorld _world = null!;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => _world = await TrainerWorld.StartAsync();

    public ValueTask DisposeAsync() => _world.DisposeAsync();

    [Fact]
    public async Task A_run_learns_publishes_checkpoints_and_writes_tensorboard()
    {
        TrainingSpec spec = TrainerWorld.Spec("learns");
        spec.CheckpointIntervalSteps = 8;
        string name = await _world.CreateAsync(spec);
        List<JobEvent> events = await _world.WatchAsync(name);
        TrainingJob job = await _world.GetAsync(name);

        Assert.True(job.Job.State == JobState.Succeeded, $"{job.Job.Failure?.Message}\n{_world.Logs()}");
        double[] losses = TrainerWorld.Losses(events);
        Assert.Equal(20, losses.Length);
        Assert.True(losses[^1] < losses[0], $"{losses[0]} to {losses[^1]}");
        Assert.Equal([8, 16, 20], events.Where(e => e.CheckpointCommitted is not null).Select(e => e.CheckpointCommitted.Step));
        Assert.Equal("runs/learns/checkpoints/step-00000020", job.Result.Checkpoint);
        Assert.Equal(losses[0], job.Result.FirstLoss);
        Assert.Equal(losses[^1], job.Result.LastLoss);
        Assert.Equal(20, job.LatestMetrics.Step);
        var boards = new List<string>();
        await foreach (ObjectInfo file in _world.Store.ListAsync(job.Result.Tensorboard + "/", Cancellation))
            boards.Add(file.Key);
        List<(long Step, string Tag, float Value)> scalars = TensorBoardReader.Read(await _world.Store.ReadAllBytesAsync(Assert.Single(boards), Cancellation));
        Assert.Empty(_world.AttemptFolders("runs/learns"));
        Assert.All(events.Where(e => e.StepMetrics is not null), e => Assert.InRange(e.StepMetrics.Mfu, 1e-9, 1));
        foreach (string tag in new[] { "speed/mfu", "memory/weights_device_bytes", "memory/optimizer_device_bytes", "memory/activations_device_bytes" })
            Assert.Equal(20, scalars.Count(s => s.Tag == tag && s.Value > 0));
        Assert.Equal(losses.Select((loss, i) => (i + 1L, (float)loss)), scalars.Where(s => s.Tag == "train/loss").Select(s => (s.Step, s.Value)));
    }

    [Fact]
    public async Task Two_ranks_give_the_losses_of_one()
    {
        double[] one = await _world.TrainAsync(TrainerWorld.Spec("one-rank"));
        Mpirun.Require();
        double[] two = await _world.TrainAsync(TrainerWorld.Spec("two-ranks", ranks: 2));
        Assert.Equal(20, one.Length);
        for (int i = 0; i < one.Length; i++)
            Assert.Equal(one[i], two[i], 1e-5);
    }

    [Fact]
    public async Task A_killed_rank_costs_nothing_but_time()
    {
        Mpirun.Require();
        double[] undisturbed = await _world.TrainAsync(Long("undisturbed"));
        string name = await _world.CreateAsync(Long("disturbed"));
        bool killed = false;
        List<JobEvent> events = await _world.WatchAsync(name, update =>
        {
            if (update.CheckpointCommitted is not null && !killed)
            {
                _world.RankProcess("disturbed", 1).Kill();
                killed = true;
            }

            return Task.CompletedTask;
        });

        TrainingJob job = await _world.GetAsync(name);
        Assert.True(job.Job.State == JobState.Succeeded, $"{job.Job.Failure?.Message}\n{_world.Logs()}");
        Assert.True(killed);
        string warning = Assert.Single(events, e => e.Log?.Severity == LogLine.Types.Severity.Warning && e.Log.Message.Contains("ended early", StringComparison.Ordinal)).Log.Message;
        Assert.True(File.Exists(warning.Split('\'')[^2]), $"Gone with the end of the run: {warning}");
        Assert.Contains(events, e => e.Log is not null && e.Log.Message.StartsWith("Going on from 'runs/disturbed/checkpoints/", StringComparison.Ordinal));
        Assert.Equal(undisturbed, TrainerWorld.Losses(events));

        static TrainingSpec Long(string name)
        {
            TrainingSpec spec = TrainerWorld.Spec(name, ranks: 2);
            (spec.Steps, spec.CheckpointIntervalSteps) = (120, 10);
            return spec;
        }
    }

    [Fact]
    public async Task A_fault_that_comes_again_at_the_same_step_ends_the_job()
    {
        await _world.WriteDatasetAsync("datasets/bad-row", TrainerWorld.Vocabulary, "tiny-tokenizer", badRow: 40);
        TrainingSpec spec = TrainerWorld.Spec("faulty");
        (spec.Dataset, spec.CheckpointIntervalSteps, spec.MaxRestarts) = ("datasets/bad-row", 1, 10);
        string name = await _world.CreateAsync(spec);
        List<JobEvent> events = await _world.WatchAsync(name);

        TrainingJob job = await _world.GetAsync(name);
        Assert.Equal(JobState.Failed, job.Job.State);
        Assert.Equal("REPEATED_FAULT", job.Job.Failure.Reason);
        Assert.Contains($"died twice after step {TrainerWorld.Losses(events).Length} of the same fault", job.Job.Failure.Message, StringComparison.Ordinal);
        Assert.Single(events, e => e.Log?.Message.Contains("ended early", StringComparison.Ordinal) == true);
        Assert.Equal(2, _world.AttemptFolders("runs/faulty").Length);

        // What the rank printed is in the service's log, with its job, rank and step.
        KeptLine printed = _world.Log.Lines.First(l => l.Entries.TryGetValue("Line", out object? line) && line!.ToString()!.StartsWith("rank 0: ", StringComparison.Ordinal));
        Assert.Equal((name, 1, 0), (printed.Entries["Job"], printed.Entries["Attempt"], printed.Entries["Rank"]));
        // The last step that was heard of: the rank may be some steps further.
        Assert.InRange(Assert.IsType<long>(printed.Entries["TrainingStep"]), 0, TrainerWorld.Losses(events).LongLength);
        // And so is what the job tells people.
        Assert.Contains(_world.Log.Lines, l => l.Level == LogLevel.Warning && l.Text.Contains("ended early", StringComparison.Ordinal) && name.Equals(l.Entries["Job"]));
    }

    [Fact]
    public async Task A_cancelled_run_leaves_a_checkpoint_that_the_next_job_goes_on_from()
    {
        TrainingSpec spec = TrainerWorld.Spec("stopped");
        spec.Steps = 100_000;
        string first = await _world.CreateAsync(spec);
        bool asked = false;
        await _world.WatchAsync(first, async update =>
        {
            if (update.StepMetrics is not null && !asked)
            {
                asked = true;
                await _world.Trainer.CancelTrainingJobAsync(new CancelTrainingJobRequest { Name = first }, cancellationToken: Cancellation);
            }
        });
        TrainingJob cancelled = await _world.GetAsync(first);
        Assert.True(cancelled.Job.State == JobState.Cancelled, $"{cancelled.Job.State}: {cancelled.Job.Failure?.Message}\n{_world.Logs()}");
        CheckpointReader checkpoint = await CheckpointReader.OpenAsync(_world.Store, cancelled.Result.Checkpoint, Cancellation);
        Assert.Equal(cancelled.Result.Steps, checkpoint.Manifest.Step);

        string second = await _world.CreateAsync(spec);
        long resumedAt = 0;
        await _world.WatchAsync(second, async update =>
        {
            if (update.StepMetrics is not null && resumedAt == 0)
            {
                resumedAt = update.StepMetrics.Step;
                await _world.Trainer.CancelTrainingJobAsync(new CancelTrainingJobRequest { Name = second }, cancellationToken: Cancellation);
            }
        });
        Assert.Equal(cancelled.Result.Steps + 1, resumedAt);
    }

    [Fact]
    public async Task A_cancelled_evaluation_ends_its_process_and_gives_no_result()
    {
        await _world.TrainAsync(TrainerWorld.Spec("unmeasured"));
        string name = (await _world.Trainer.CreateEvaluationAsync(new CreateEvaluationRequest
        {
            Spec = new EvaluationSpec { Model = "runs/unmeasured/checkpoints/step-00000020", Dataset = TrainerWorld.Dataset },
        }, cancellationToken: Cancellation)).Evaluation.Job.Name;
        using var watch = _world.Trainer.WatchEvaluation(new WatchEvaluationRequest { Name = name }, cancellationToken: Cancellation);
        while (await watch.ResponseStream.MoveNext(Cancellation))
        {
            if (watch.ResponseStream.Current.Event.Progress is not null)
                await _world.Trainer.CancelEvaluationAsync(new CancelEvaluationRequest { Name = name }, cancellationToken: Cancellation);
        }

        Evaluation ended = (await _world.Trainer.GetEvaluationAsync(new GetEvaluationRequest { Name = name }, cancellationToken: Cancellation)).Evaluation;
        Assert.Equal(JobState.Cancelled, ended.Job.State);
        Assert.Null(ended.Result);
        Assert.Empty(_world.WorkerProcesses());
        Assert.Empty(_world.AttemptFolders("evaluations"));
    }

    [Fact]
    public async Task An_evaluation_measures_a_checkpoint()
    {
        await _world.TrainAsync(TrainerWorld.Spec("measured"));
        Evaluation created = (await _world.Trainer.CreateEvaluationAsync(new CreateEvaluationRequest
        {
            Spec = new EvaluationSpec { Model = "runs/measured/checkpoints/step-00000020", Dataset = TrainerWorld.Dataset, Precision = Precision.Fp32, MicroBatchRows = 4 },
        }, cancellationToken: Cancellation)).Evaluation;
        using var watch = _world.Trainer.WatchEvaluation(new WatchEvaluationRequest { Name = created.Job.Name }, cancellationToken: Cancellation);
        while (await watch.ResponseStream.MoveNext(Cancellation))
        {
            // Until it ends.
        }

        Evaluation evaluation = (await _world.Trainer.GetEvaluationAsync(new GetEvaluationRequest { Name = created.Job.Name }, cancellationToken: Cancellation)).Evaluation;
        Assert.True(evaluation.Job.State == JobState.Succeeded, $"{evaluation.Job.Failure?.Message}\n{_world.Logs()}");
        Assert.InRange(evaluation.Result.Loss, 0.5, Math.Log(TrainerWorld.Vocabulary) + 0.5);
        Assert.Equal(Math.Exp(evaluation.Result.Loss), evaluation.Result.Perplexity, 1e-9);
        Assert.Equal(evaluation.Result.Loss * evaluation.Result.LabelTokens / Math.Log(2) / 1000, evaluation.Result.BitsPerByte, 1e-9);
    }
}
