using System.Globalization;
using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.Jobs;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Trainer.V1;
using Drover.Trainer.Contract;
using Google.Protobuf;

namespace Drover.Trainer;

/// <summary>
/// Does a training job: starts the ranks, publishes what they save, and starts them again from the last published checkpoint when an
/// attempt dies; not when it died twice of the same fault at the same step. Run again after the service died, it goes on the same way.
/// </summary>
internal sealed class TrainingExecutor(WorkerLauncher launcher, AttemptFolders folders, TrainingChecks checks, CheckpointPublisher checkpoints, JobQueue queue, JobMetrics metrics, RunningAttempts running, SpeedPlans speeds, IObjectStore store, TrainerOptions options, TimeProvider time) : JobExecutor<TrainingSpec, TrainingResult>
{
    public const string JobKind = "training";

    public override string Kind => JobKind;

    public override async Task<TrainingResult> RunAsync(JobContext job, TrainingSpec spec, CancellationToken cancellation)
    {
        PlannedRun run = await checks.CheckAsync(spec, cancellation).ConfigureAwait(false);
        TrainingPlan plan = run.Plan;
        await checks.ClaimRunNameAsync(spec, cancellation).ConfigureAwait(false);
        if (spec.Retention is { } retention)
            await checkpoints.SetRetentionAsync(spec.Name, retention, cancellation).ConfigureAwait(false);
        if (spec.PredictSpeed)
            job.Report("measuring for the plan", 0, 0, "layouts");
        plan.Speed = (await speeds.PredictAsync([run], spec.PredictSpeed, cancellation).ConfigureAwait(false))[0];
        await store.PutTextAsync(TrainingPlans.Key(spec.Name), JsonFormatter.Default.Format(plan), cancellation).ConfigureAwait(false);
        job.Log(LogLine.Types.Severity.Info, TrainingPlans.Summary(plan));
        if (run.Config.AttentionDropout > 0)
            job.Log(LogLine.Types.Severity.Warning, string.Create(CultureInfo.InvariantCulture, $"The model's config has attention_dropout {run.Config.AttentionDropout}: attention is trained without dropout, as LLaMA was."));
        IReadOnlyList<StagePlan> stages = await TrainingStages.PlanAsync(spec, store, cancellation).ConfigureAwait(false);
        int restartsLeft = TrainingSpecs.Restarts(spec), inVain = 0;
        (string What, long Step)? lastFault = null;
        (int Count, long FirstBatch) rollbacks = (0, 0);
        for (int start = 1; ; start++)
        {
            Checkpoint? latest = await FindStartAsync(job, spec, cancellation).ConfigureAwait(false);
            var attempt = new Attempt(job, latest);
            StagePlan stage = TrainingStages.At(stages, latest?.Step ?? 0);
            WorkerOutcome outcome = await RunAttemptAsync(job, spec, stage, start, attempt, rollbacks.FirstBatch, cancellation).ConfigureAwait(false);
            if (attempt.PublishFailure is { } failure)
                throw failure;
            if (attempt.Ended is { } ended && outcome.ExitCode == 0)
            {
                if (ended.Stopped && cancellation.IsCancellationRequested && StateOf(job) != JobState.Cancelling)
                    throw new OperationCanceledException(cancellation);
                if (!ended.Stopped && stage != stages[^1])
                {
                    job.Log(LogLine.Types.Severity.Info, $"The stage '{stage.Stage!.Name}' is done at step {ended.StepsDone}; '{stages.SkipWhile(s => s != stage).ElementAt(1).Stage!.Name}' begins.");
                    (lastFault, rollbacks) = (null, (rollbacks.Count, 0));
                    continue;
                }

                // A warning of an attempt that ended early names the output of its ranks: it stays to be looked at.
                if (restartsLeft == TrainingSpecs.Restarts(spec))
                    folders.Forget(AttemptFolders.OfRun(spec.Name));
                return await ResultAsync(job, spec, plan, ended).ConfigureAwait(false);
            }

            if (attempt.Rollback is { } rollback && outcome.ExitCode == 0)
            {
                if (rollbacks.Count == GuardSpecs.MaxRollbacks(spec.Guard))
                    throw new DroverException(FailureCode.Internal, "ROLLBACKS_USED_UP", $"The run '{spec.Name}' went back {rollbacks.Count} times, and again: {rollback.Message}. Look at those rows, or lower the learning rate; the same spec goes on from the last checkpoint.");
                rollbacks = (rollbacks.Count + 1, rollback.NextBatch);
                job.Log(LogLine.Types.Severity.Warning, $"{rollback.Message}. Going back to the last checkpoint; the rows up to these are left out.");
                continue;
            }

            // A rank that dies while it is paused costs the steps since the last checkpoint and no restart.
            if (cancellation.IsCancellationRequested && StateOf(job) == JobState.Pausing)
                throw new OperationCanceledException(cancellation);
            (string What, long Step)? fault = outcome.IsFault ? (outcome.Fault, attempt.Step) : null;
            if (fault is not null && fault == lastFault)
                throw Repeated(outcome, spec, attempt.Step);
            lastFault = fault;
            if (!outcome.MayBeRetried || restartsLeft-- == 0 || cancellation.IsCancellationRequested)
                throw Final(outcome, spec);
            inVain = attempt.HasSaved ? 0 : inVain + 1;
            await PauseAsync(job, outcome, restartsLeft, RestartPause.After(inVain), cancellation).ConfigureAwait(false);
        }
    }

    // A changed byte would be trained on without a word, and come with every later checkpoint: all of it is read before ranks are started.
    private async Task<Checkpoint?> FindStartAsync(JobContext job, TrainingSpec spec, CancellationToken cancellation)
    {
        GetLatestCheckpointResponse? found = await checkpoints.FindVerifiedAsync(spec.Name, cancellation).ConfigureAwait(false);
        if (found is null)
            return null;
        foreach (DamagedCheckpoint damaged in found.PassedOver)
            job.Log(LogLine.Types.Severity.Warning, $"'{damaged.Name}' is damaged and passed over: {damaged.Problems[0].TrimEnd('.')}{(damaged.Problems.Count > 1 ? $"; and {damaged.Problems.Count - 1} more" : "")}. Look at the object store.");
        job.Log(LogLine.Types.Severity.Info, $"Going on from '{found.Checkpoint.Name}'.");
        return found.Checkpoint;
    }

    private async Task PauseAsync(JobContext job, WorkerOutcome outcome, int restartsLeft, TimeSpan pause, CancellationToken cancellation)
    {
        string when = pause == TimeSpan.Zero ? "" : string.Create(CultureInfo.InvariantCulture, $" in {pause.TotalSeconds:0} s");
        job.Log(LogLine.Types.Severity.Warning, $"The attempt ended early: {outcome.Why}. Starting again from the last checkpoint{when}; {restartsLeft} more restarts are left. Output of the ranks: '{outcome.LogFile}'.");
        await Task.Delay(pause, time, cancellation).ConfigureAwait(false);
    }

    private async Task<WorkerOutcome> RunAttemptAsync(JobContext job, TrainingSpec spec, StagePlan stage, int start, Attempt attempt, long firstBatch, CancellationToken cancellation)
    {
        string folder = folders.Open(AttemptFolders.OfRun(spec.Name));
        string name = string.Create(CultureInfo.InvariantCulture, $"{job.Attempt}-{start}");
        WorkerSpec worker = TrainingSpecs.ForWorkers(launcher.NewSpec(folder), stage.Spec, attempt.Latest?.Name ?? "", name, firstBatch, stage.Stage is { } its ? (its, spec) : null);
        job.Report("starting", attempt.Latest?.Step ?? 0, stage.Stage?.RunSteps ?? spec.Steps, "steps");
        using var kill = new CancellationTokenSource();
        // A cancel or a pause asks the ranks to stop after the running step and to save. So does the end of the whole service, which waits for that only
        // so long; the job goes on from the last checkpoint at the next start.
        using CancellationTokenRegistration asked = cancellation.Register(() =>
        {
            RunningAttempts.AskToStop(folder);
            if (StateOf(job) is not (JobState.Cancelling or JobState.Pausing))
                kill.CancelAfter(TimeSpan.FromSeconds(options.StopSeconds));
        });
        running.Begin(job.Name, folder);
        try
        {
            return await launcher.RunAsync("train", worker, TrainingSpecs.Ranks(spec), update => HandleAsync(update, attempt), kill.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            throw new OperationCanceledException(cancellation);
        }
        finally
        {
            running.End(job.Name);
            folders.Close(folder);
        }
    }

    private JobState StateOf(JobContext job) => queue.Get(job.Name, JobKind).Job.State;

    private async Task HandleAsync(WorkerEvent update, Attempt attempt)
    {
        JobContext job = attempt.Job;
        if (update.Started is { } started)
        {
            (attempt.Step, attempt.TotalSteps) = (started.StepsDone, started.TotalSteps);
            job.Report("step", started.StepsDone, started.TotalSteps, "steps");
        }

        if (update.Step is { } step)
        {
            attempt.Step = step.Step;
            job.Emit(new JobEvent { StepMetrics = MetricsOf(step) });
            job.Report("step", step.Step, attempt.TotalSteps, "steps");
        }

        if (update.HeldOut is { } heldOut)
            job.Emit(new JobEvent { Evaluation = HeldOutSpecs.MetricsOf(heldOut) });
        if (update.Log is { } line)
            job.Log(LogLine.Types.Severity.Info, line);
        if (update.Warning is { } warning)
            job.Log(LogLine.Types.Severity.Warning, warning);
        attempt.Rollback = update.Rollback ?? attempt.Rollback;
        if (update.Checkpoint is { } checkpoint)
            await PublishAsync(checkpoint, attempt).ConfigureAwait(false);
        attempt.Ended = update.Ended ?? attempt.Ended;
    }

    /// <summary>Saves are not lost with the attempt: published even while a cancel is under way.</summary>
    private async Task PublishAsync(CheckpointEvent written, Attempt attempt)
    {
        try
        {
            await checkpoints.PublishAsync(written.Prefix, CancellationToken.None).ConfigureAwait(false);
            attempt.PublishFailure = null;
            attempt.HasSaved = true;
            attempt.Job.Emit(new JobEvent { CheckpointCommitted = new CheckpointCommitted { Checkpoint = written.Prefix, Step = written.Step, SizeBytes = written.Bytes, StalledSeconds = written.StalledSeconds, WriteSeconds = written.WriteSeconds } });
        }
        catch (DroverException e)
        {
            // Training goes on; only when the last one cannot be published is the job lost.
            attempt.PublishFailure = e;
            attempt.Job.Log(LogLine.Types.Severity.Warning, $"'{written.Prefix}' was not published: {e.Message}");
        }
    }

    private async Task<TrainingResult> ResultAsync(JobContext job, TrainingSpec spec, TrainingPlan plan, EndedEvent ended)
    {
        // Not cancellable: the work is done, what is left is to tell of it.
        Checkpoint? latest = await checkpoints.FindLatestAsync(spec.Name, CancellationToken.None).ConfigureAwait(false);
        MetricsSummary steps = await metrics.OfAsync(queue.Get(job.Name, JobKind).Job, CancellationToken.None).ConfigureAwait(false);
        Checkpoint? best = spec.HeldOut is null ? null : await checkpoints.FindBestAsync(spec.Name, CancellationToken.None).ConfigureAwait(false);
        return new TrainingResult
        {
            BestCheckpoint = best?.Name ?? "",
            BestLoss = best?.HeldOutLoss ?? 0,
            LastEvaluation = steps.Evaluation,
            Plan = TrainingPlans.Compare(plan, ended),
            Checkpoint = latest?.Name ?? "",
            Steps = ended.StepsDone,
            FirstLoss = steps.First?.Loss ?? latest?.Loss ?? 0,
            LastLoss = steps.Latest?.Loss ?? latest?.Loss ?? 0,
            TokensSeen = latest?.TokensSeen ?? 0,
            Tensorboard = RunKeys.TensorBoard(spec.Name),
        };
    }

    private static DroverException Final(WorkerOutcome outcome, TrainingSpec spec) => outcome.MayBeRetried
        ? new DroverException(FailureCode.Aborted, "RESTARTS_USED_UP", $"The run '{spec.Name}' died and all {TrainingSpecs.Restarts(spec)} restarts are used up; the last time: {outcome.Why}. Output of the ranks: '{outcome.LogFile}'. The same spec goes on from the last checkpoint.")
        : outcome.ToException();

    private static DroverException Repeated(WorkerOutcome outcome, TrainingSpec spec, long step) => new(
        FailureCode.Internal,
        "REPEATED_FAULT",
        $"The run '{spec.Name}' died twice after step {step} of the same fault, so another start would not help: {outcome.Why}. Output of the ranks: '{outcome.LogFile}'. Once the cause is gone, the same spec goes on from the last checkpoint.");

    private static StepMetrics MetricsOf(StepEvent step) => new()
    {
        Step = step.Step,
        Loss = step.Loss,
        LearningRate = step.LearningRate,
        GradNorm = step.GradNorm,
        TokensPerSecond = step.TokensPerSecond,
        ModelFlopsPerSecond = step.ModelFlopsPerSecond,
        MemoryBytes = step.MemoryBytes,
        TokensSeen = step.TokensSeen,
        LabelTokens = step.LabelTokens,
        StepSeconds = step.Seconds,
        LossScale = step.LossScale,
        SkippedSteps = step.SkippedSteps,
        Mfu = step.Mfu,
    };

    /// <summary>What is known of one start of the ranks.</summary>
    private sealed class Attempt(JobContext job, Checkpoint? latest)
    {
        public JobContext Job => job;

        public Checkpoint? Latest => latest;

        /// <summary>The last step that was done.</summary>
        public long Step { get; set; }

        public long TotalSteps { get; set; }

        public bool HasSaved { get; set; }

        public EndedEvent? Ended { get; set; }

        public RollbackEvent? Rollback { get; set; }

        public DroverException? PublishFailure { get; set; }
    }
}
