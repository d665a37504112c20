using Drover.Errors;
using Drover.Formats.Datasets;
using Drover.Jobs;
using Drover.ObjectStore;
using Drover.Protocol.Trainer.V1;
using Drover.Trainer.Contract;

namespace Drover.Trainer;

/// <summary>Evaluates a model on a dataset in a worker process.</summary>
internal sealed class EvaluationExecutor(WorkerLauncher launcher, AttemptFolders folders, TrainingChecks checks, IObjectStore store) : JobExecutor<EvaluationSpec, EvaluationResult>
{
    public const string JobKind = "evaluation";

    public override string Kind => JobKind;

    public override async Task<EvaluationResult> RunAsync(JobContext job, EvaluationSpec spec, CancellationToken cancellation)
    {
        await checks.CheckAsync(spec, cancellation).ConfigureAwait(false);
        (DatasetManifest manifest, _) = await PackedDataset.ReadManifestAsync(store, spec.Dataset, cancellation).ConfigureAwait(false);
        job.Report("evaluating", 0, 0, "rows");
        EvaluatedEvent sums = await MeasureAsync(spec, cancellation).ConfigureAwait(false);
        if (sums.LabelTokens == 0)
            throw new DroverException(FailureCode.FailedPrecondition, "NO_LABELS", $"The dataset '{spec.Dataset}' has no labelled token: there is nothing to measure.");
        job.Report("evaluating", manifest.Rows, manifest.Rows, "rows");
        double loss = sums.LossSum / sums.LabelTokens;
        return new EvaluationResult
        {
            Loss = loss,
            Perplexity = Math.Exp(loss),
            BitsPerByte = manifest.TextBytes > 0 ? sums.LossSum / Math.Log(2) / manifest.TextBytes : 0,
            LabelTokens = sums.LabelTokens,
        };
    }

    private async Task<EvaluatedEvent> MeasureAsync(EvaluationSpec spec, CancellationToken cancellation)
    {
        string folder = folders.Open(AttemptFolders.Evaluations);
        WorkerSpec worker = launcher.NewSpec(folder) with
        {
            Precision = TrainingSpecs.NameOf(spec.Precision),
            MicroBatchRows = Math.Max(1, spec.MicroBatchRows),
            Dataset = spec.Dataset,
            Evaluate = new EvaluateSpec(spec.Model),
        };
        EvaluatedEvent? sums = null;
        try
        {
            WorkerOutcome outcome = await launcher.RunAsync("evaluate", worker, 1, update => Keep(update, ref sums), cancellation).ConfigureAwait(false);
            return sums ?? throw outcome.ToException();
        }
        finally
        {
            if (sums is not null || cancellation.IsCancellationRequested)
                folders.Discard(folder);
            else
                folders.Close(folder);
        }
    }

    private static Task Keep(WorkerEvent update, ref EvaluatedEvent? sums)
    {
        sums = update.Evaluated ?? sums;
        return Task.CompletedTask;
    }
}
