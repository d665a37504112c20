using Drover.Formats.Datasets;
using Drover.Trainer.Contract;
using Drover.Trainer.Engine;
using Drover.Trainer.Model;

namespace Drover.Trainer.Worker;

/// <summary>Mean loss of a model on a dataset.</summary>
internal static class EvaluateCommand
{
    public static void Run(RankContext rank)
    {
        WorkerSpec spec = rank.Spec;
        ModelSource source = ModelSource.OpenAsync(rank.Store, spec.Evaluate!.Model).Finish();
        using PackedDataset rows = PackedDataset.OpenAsync(rank.Store, spec.Dataset, spec.CacheFolder, CancellationToken.None).Finish();
        TrainCommand.CheckVocabulary(rows.Manifest, source.Config, spec.Dataset);
        using var model = new LanguageModel(source.Config, PrecisionOf(spec), spec.Threads, rank.Device);
        model.LoadWeights(source.Read);
        EvaluationSums sums = model.Evaluate(rows, spec.MicroBatchRows, rank.Collectives);
        rank.Events.Write(new WorkerEvent { Evaluated = new EvaluatedEvent(sums.LossSum, sums.LabelTokens) });
    }

    public static Precision PrecisionOf(WorkerSpec spec) => Enum.Parse<Precision>(spec.Precision, ignoreCase: true);
}
