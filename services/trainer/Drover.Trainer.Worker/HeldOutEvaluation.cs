using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using Drover.Formats.Checkpoints;
using Drover.Formats.Datasets;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Contract;
using Drover.Trainer.Engine;

namespace Drover.Trainer.Worker;

/// <summary>Evaluates a run on its held-out datasets, and knows which evaluation is the best.</summary>
internal sealed class HeldOutEvaluation : IDisposable
{
    private readonly TrainHeldOut _spec;
    private readonly List<(string Label, PackedDataset Rows)> _datasets;
    private readonly string _measure;

    private HeldOutEvaluation(TrainHeldOut spec, List<(string Label, PackedDataset Rows)> datasets)
    {
        (_spec, _datasets) = (spec, datasets);
        string identity = string.Join('\n', [spec.BestBy, $"{spec.MaxRows}", .. datasets.Select(d => $"{d.Label} {d.Rows.ManifestHash}")]);
        _measure = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(identity)))[..16];
    }

    /// <summary>Opens the datasets of a run; null where it has none.</summary>
    public static async Task<HeldOutEvaluation?> OpenAsync(RankContext rank, TrainHeldOut? spec, LlamaConfig config)
    {
        if (spec is null)
            return null;
        var datasets = new List<(string, PackedDataset)>();
        foreach ((string label, string dataset) in spec.Datasets)
        {
            PackedDataset rows = await PackedDataset.OpenAsync(rank.Store, dataset, rank.Spec.CacheFolder, CancellationToken.None).ConfigureAwait(false);
            datasets.Add((label, rows));
            TrainCommand.CheckVocabulary(rows.Manifest, config, dataset);
        }

        return new HeldOutEvaluation(spec, datasets);
    }

    /// <summary>Whether there is an evaluation after a step; of step 0: before the first.</summary>
    public bool IsDue(long step, long lastStep) =>
        step == 0 ? _spec.AtStart : step == lastStep || (_spec.IntervalSteps > 0 && step % _spec.IntervalSteps == 0);

    /// <summary>Evaluates the model as it stands. Every rank calls it.</summary>
    /// <param name="engine">Of the run.</param>
    /// <param name="before">Where the run stood.</param>
    /// <returns>Where it stands now, and what to tell.</returns>
    public (HeldOutState State, HeldOutEvent Event) Run(TrainingEngine engine, HeldOutState? before)
    {
        long started = Stopwatch.GetTimestamp();
        DatasetLossEvent[] losses = [.. _datasets.Select(d =>
        {
            EvaluationSums sums = engine.Evaluate(d.Rows, _spec.MaxRows);
            return new DatasetLossEvent(d.Label, sums.Mean, sums.LabelTokens);
        })];
        double all = losses.Sum(l => l.Loss * l.LabelTokens) / Math.Max(1, losses.Sum(l => l.LabelTokens));
        double loss = losses.FirstOrDefault(l => l.Label == _spec.BestBy)?.Loss ?? all;
        // Before the first step there is nothing to save: that model is where the weights came from.
        bool isBest = engine.StepsDone > 0 && double.IsFinite(loss) && !(before?.Measure == _measure && before.BestLoss <= loss);
        (long bestStep, double bestLoss) = isBest ? (engine.StepsDone, loss) : before?.Measure == _measure ? (before.BestStep, before.BestLoss) : (-1, double.NaN);
        return (
            new HeldOutState(_measure, engine.StepsDone, loss, losses.ToDictionary(l => l.Label, l => l.Loss, StringComparer.Ordinal), bestStep, bestLoss),
            new HeldOutEvent(engine.StepsDone, all, losses, isBest, Stopwatch.GetElapsedTime(started).TotalSeconds));
    }

    /// <inheritdoc />
    public void Dispose() => _datasets.ForEach(d => d.Rows.Dispose());
}
