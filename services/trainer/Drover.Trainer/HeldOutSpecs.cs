using System.Text.RegularExpressions;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Trainer.V1;
using Drover.Trainer.Contract;

namespace Drover.Trainer;

/// <summary>Evaluations of a run on held-out data: wrong fields, what the ranks are told, what is told of it.</summary>
internal static partial class HeldOutSpecs
{
    /// <summary>Every wrong field.</summary>
    public static IEnumerable<string> Problems(HeldOutSpec? spec)
    {
        if (spec is null)
            yield break;
        if (spec.Datasets.Count == 0)
            yield return "held_out.datasets is empty; name prepared datasets that are not trained on";
        if (spec.IntervalSteps < 0)
            yield return $"held_out.interval_steps is {spec.IntervalSteps}";
        if (spec.MaxRows < 0)
            yield return $"held_out.max_rows is {spec.MaxRows}";
        foreach (HeldOutDataset dataset in spec.Datasets)
        {
            if (dataset.Dataset.Length == 0)
                yield return "held_out.datasets has an entry without a dataset";
            else if (!Label().IsMatch(LabelOf(dataset)))
                yield return $"held_out.datasets: the label '{LabelOf(dataset)}' is not made of letters, digits, dots, dashes and underscores";
        }

        foreach (IGrouping<string, HeldOutDataset> twice in spec.Datasets.GroupBy(LabelOf, StringComparer.Ordinal).Where(g => g.Count() > 1))
            yield return $"held_out.datasets: the label '{twice.Key}' is used {twice.Count()} times";
        if (spec.BestBy.Length > 0 && spec.Datasets.All(d => LabelOf(d) != spec.BestBy))
            yield return $"held_out.best_by is '{spec.BestBy}'; the labels are {string.Join(", ", spec.Datasets.Select(LabelOf))}";
    }

    /// <summary>What the ranks are told.</summary>
    public static TrainHeldOut? Resolve(HeldOutSpec? spec) => spec is null ? null : new TrainHeldOut(
        [.. spec.Datasets.Select(d => new TrainHeldOutDataset(LabelOf(d), d.Dataset))], spec.IntervalSteps, spec.AtStart, spec.BestBy, spec.MaxRows);

    /// <summary>What the ranks told, for the job's events.</summary>
    public static EvaluationMetrics MetricsOf(HeldOutEvent update) => new()
    {
        Step = update.Step,
        Loss = update.Loss,
        Perplexity = Math.Exp(update.Loss),
        Datasets = { update.Datasets.Select(d => new DatasetLoss { Label = d.Label, Loss = d.Loss, Perplexity = Math.Exp(d.Loss), LabelTokens = d.LabelTokens }) },
        IsBest = update.IsBest,
        Seconds = update.Seconds,
    };

    private static string LabelOf(HeldOutDataset dataset) => dataset.Label.Length > 0 ? dataset.Label : dataset.Dataset[(dataset.Dataset.LastIndexOf('/') + 1)..];

    [GeneratedRegex("^[A-Za-z0-9._-]{1,100}$", RegexOptions.CultureInvariant)]
    private static partial Regex Label();
}
