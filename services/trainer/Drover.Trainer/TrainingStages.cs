using System.Text.RegularExpressions;
using Drover.Formats.Datasets;
using Drover.ObjectStore;
using Drover.Protocol.Trainer.V1;
using Drover.Trainer.Contract;

namespace Drover.Trainer;

/// <summary>
/// The stages of a run. Each is a training by itself, with a spec of its own (<see cref="SpecOf"/>) that is checked and trained like any other; ranks are
/// started anew for each, from the last checkpoint of the one before.
/// </summary>
internal static partial class TrainingStages
{
    /// <summary>Wrong fields of the stages, those of their own specs among them; nothing for a run without stages.</summary>
    public static IEnumerable<string> Problems(TrainingSpec spec)
    {
        if (spec.Stages.Count == 0)
            yield break;
        if (spec.Steps != 0 || spec.Epochs != 0)
            yield return "steps and epochs are the stages' to say: leave them out beside stages";
        if (spec.Frozen.Count > 0 || spec.EmbeddingsOnly || spec.LearningRateGroups.Count > 0)
            yield return "frozen, embeddings_only and learning_rate_groups are the stages' to say: leave them out beside stages";
        if (spec.Lora is not null)
            yield return "lora and stages do not work together yet: a stage's checkpoint would lack what the next one trains; make them runs of their own";
        foreach (IGrouping<string, TrainingStage> twice in spec.Stages.GroupBy(s => s.Name, StringComparer.Ordinal).Where(g => g.Count() > 1))
            yield return $"{twice.Count()} stages are named '{twice.Key}'";
        for (int i = 0; i < spec.Stages.Count; i++)
        {
            TrainingStage stage = spec.Stages[i];
            string name = $"stages[{i}] '{stage.Name}'";
            if (!Name().IsMatch(stage.Name))
                yield return $"{name}: the name is made of lower-case letters, digits and dashes, 1 to 100 of them";
            if (!Enum.IsDefined(stage.Moments) || !Enum.IsDefined(stage.ScheduleCarry))
                yield return $"{name}: moments or schedule_carry is unknown";
            if (stage.ScheduleCarry == ScheduleCarry.Continued && stage.Schedule is not null)
                yield return $"{name}: schedule_carry CONTINUED goes on with the run's schedule: leave schedule out";
            if (stage.Epochs != 0 && stage.Dataset.Length == 0 && spec.Mixture.Count > 0)
                yield return $"{name}: epochs of a mixture are not counted for stages: give steps";
            // What is wrong with the run is told once, by the first.
            HashSet<string> told = i == 0 ? [] : [.. TrainingSpecs.Problems(SpecOf(spec, 0))];
            foreach (string problem in TrainingSpecs.Problems(SpecOf(spec, i)).Where(p => !told.Contains(p)))
                yield return $"{name}: {problem}";
        }
    }

    /// <summary>The run's spec as a stage trains it, its steps counted from its own first; of a run without stages, the spec.</summary>
    public static TrainingSpec SpecOf(TrainingSpec spec, int index)
    {
        if (spec.Stages.Count == 0)
            return spec;
        TrainingStage stage = spec.Stages[index];
        TrainingSpec own = spec.Clone();
        own.Stages.Clear();
        (own.Steps, own.Epochs, own.EmbeddingsOnly) = (stage.Steps, stage.Epochs, stage.EmbeddingsOnly);
        own.Frozen.Add(stage.Frozen);
        own.LearningRateGroups.Add(stage.LearningRateGroups);
        if (stage.Dataset.Length > 0)
        {
            own.Dataset = stage.Dataset;
            own.Mixture.Clear();
            own.MixtureBuckets = 0;
        }

        if (stage.LearningRate != 0)
            (own.Optimizer ??= new OptimizerSpec()).LearningRate = stage.LearningRate;
        own.Schedule = stage.Schedule ?? own.Schedule;
        return own;
    }

    /// <summary>All stages with their steps in the run, in order; one for a run without stages.</summary>
    /// <param name="spec">Checked.</param>
    /// <param name="store">Holds the datasets, whose rows decide where epochs do.</param>
    /// <param name="cancellation">Ends the reading.</param>
    public static async Task<IReadOnlyList<StagePlan>> PlanAsync(TrainingSpec spec, IObjectStore store, CancellationToken cancellation)
    {
        if (spec.Stages.Count == 0)
            return [new StagePlan(spec, null, long.MaxValue)];
        var steps = new List<long>();
        for (int i = 0; i < spec.Stages.Count; i++)
        {
            TrainingSpec own = SpecOf(spec, i);
            long rowCount = own.Steps > 0 ? 0 : (await PackedDataset.ReadManifestAsync(store, own.Dataset, cancellation).ConfigureAwait(false)).Manifest.Rows;
            steps.Add(own.Steps > 0 ? own.Steps : Math.Max(1, (long)Math.Ceiling(own.Epochs * rowCount / own.GlobalBatchRows)));
        }

        var plans = new List<StagePlan>();
        var rows = new Dictionary<string, long>(StringComparer.Ordinal);
        long start = 0, moments = 0;
        for (int i = 0; i < steps.Count; i++)
        {
            TrainingStage stage = spec.Stages[i];
            TrainingSpec own = SpecOf(spec, i);
            (own.Steps, own.Epochs) = (steps[i], 0);
            bool resets = stage.Moments == MomentCarry.Reset;
            moments = resets ? start : moments;
            string data = string.Join(' ', TrainingSpecs.Datasets(own));
            long firstRow = rows.GetValueOrDefault(data);
            rows[data] = firstRow + (steps[i] * own.GlobalBatchRows);
            plans.Add(new StagePlan(own, new TrainStage(stage.Name, start, firstRow, moments, resets, stage.ScheduleCarry == ScheduleCarry.Continued, steps.Sum()), start + steps[i]));
            start += steps[i];
        }

        return plans;
    }

    /// <summary>The stage whose next step follows on so many steps; the last where all are done.</summary>
    public static StagePlan At(IReadOnlyList<StagePlan> stages, long step) => stages.FirstOrDefault(s => step < s.EndStep) ?? stages[^1];

    [GeneratedRegex("^[a-z0-9-]{1,100}$", RegexOptions.CultureInvariant)]
    private static partial Regex Name();
}

/// <summary>A stage of a run.</summary>
/// <param name="Spec">Its own spec.</param>
/// <param name="Stage">What the ranks are told of it; null for a run without stages.</param>
/// <param name="EndStep">Steps of the run when it is over.</param>
internal sealed record StagePlan(TrainingSpec Spec, TrainStage? Stage, long EndStep);
