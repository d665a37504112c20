using Drover.Formats.Checkpoints;

namespace Drover.Trainer.Engine;

/// <summary>What is done about a step whose loss or gradient is not as it should be.</summary>
public enum AnomalyAction
{
    /// <summary>The run ends; its weights are those before the step.</summary>
    Stop = 0,

    /// <summary>It is told, and the step counts as any other. Not where something is not finite.</summary>
    Warn = 1,

    /// <summary>The update is left out; the schedule goes on.</summary>
    Skip = 2,

    /// <summary>The run goes back to its last checkpoint, and on with the rows after those of the step.</summary>
    Rollback = 3,
}

/// <summary>
/// Guard against losses and gradients that are not finite, and against spikes: a loss or gradient norm that lies more than some
/// deviations above the mean of the steps before it (as OLMo-core's SkipStepOptimizer; of norms the logarithms, since they vary by factors). What it knows is part of the checkpointed state.
/// Ranks see the same sums, so all decide alike; on another layout sums differ in their last bits, which matters only at the very border.
/// </summary>
public sealed record GuardSpec
{
    // A run of nearly equal values is no reason to call the next one a spike: 1 % of a loss, a tenth of a norm.
    private const double LeastOfLoss = 0.01;
    private const double LeastOfLogarithm = 0.1;

    /// <summary>The loss or the gradient is not finite (in fp16: though the loss scale is below 1, or the loss itself is not).</summary>
    public AnomalyAction OnNotFinite { get; init; } = AnomalyAction.Stop;

    /// <summary>The loss or the gradient norm is far above those before.</summary>
    public AnomalyAction OnSpike { get; init; } = AnomalyAction.Warn;

    /// <summary>Steps that mean and deviation are taken over; nothing is a spike until half of them are there.</summary>
    public int WindowSteps { get; init; } = 128;

    /// <summary>Standard deviations above the mean from which on it is a spike.</summary>
    public double Deviations { get; init; } = 6;

    /// <summary>The run ends when more updates in a row would be skipped: then it is no spike.</summary>
    public int MaxSkipsInRow { get; init; } = 10;

    /// <summary>What of it cannot be.</summary>
    public IEnumerable<string> Problems()
    {
        if (OnNotFinite == AnomalyAction.Warn)
            yield return "guard.on_not_finite cannot be warn: the update would destroy the weights";
        if (WindowSteps < 2)
            yield return $"guard.window_steps is {WindowSteps}";
        if (!(Deviations > 0))
            yield return $"guard.deviations is {Deviations}";
        if (MaxSkipsInRow < 0)
            yield return $"guard.max_skips_in_row is {MaxSkipsInRow}";
    }

    /// <summary>What is wrong with a step; null when nothing is.</summary>
    internal Verdict? Judge(GuardState state, double loss, double norm)
    {
        if (!double.IsFinite(loss) || !double.IsFinite(norm))
            return new Verdict("NOT_FINITE", $"the loss is {loss} and the gradient norm {norm}", OnNotFinite);
        string? what = SpikeOfLoss(state.Losses, loss) ?? SpikeOfNorm(state.GradNorms, norm);
        return what is null ? null : new Verdict("LOSS_SPIKE", what, OnSpike);
    }

    /// <summary>The state after a step that updated the weights.</summary>
    internal GuardState Updated(GuardState state, double loss, double norm) =>
        state with { Losses = Appended(state.Losses, loss), GradNorms = Appended(state.GradNorms, norm), SkipsInRow = 0 };

    private string? SpikeOfLoss(IReadOnlyList<double> before, double loss)
    {
        if (before.Count * 2 < WindowSteps)
            return null;
        (double mean, double deviation) = Statistics(before);
        double border = mean + (Deviations * Math.Max(deviation, LeastOfLoss * mean));
        return loss > border ? Describe("loss", loss, border, mean, before.Count) : null;
    }

    private string? SpikeOfNorm(IReadOnlyList<double> before, double norm)
    {
        if (before.Count * 2 < WindowSteps)
            return null;
        (double mean, double deviation) = Statistics([.. before.Select(n => Math.Log(Math.Max(n, double.Epsilon)))]);
        double border = Math.Exp(mean + (Deviations * Math.Max(deviation, LeastOfLogarithm)));
        return norm > border ? Describe("gradient norm", norm, border, Math.Exp(mean), before.Count) : null;
    }

    private string Describe(string name, double value, double border, double mean, int steps) =>
        FormattableString.Invariant($"the {name} is {value:0.####}, more than {Deviations:0.#} deviations ({border:0.####}) above the mean {mean:0.####} of the {steps} steps before it");

    private static (double Mean, double Deviation) Statistics(IReadOnlyList<double> values)
    {
        double mean = values.Average();
        return (mean, Math.Sqrt(values.Average(v => (v - mean) * (v - mean))));
    }

    private double[] Appended(IReadOnlyList<double> values, double value) => [.. values.Skip(Math.Max(0, values.Count + 1 - WindowSteps)), value];
}

/// <summary>What the guard says of a step.</summary>
/// <param name="Reason">A stable word.</param>
/// <param name="What">The same for people.</param>
/// <param name="Action">What is to be done.</param>
internal sealed record Verdict(string Reason, string What, AnomalyAction Action);

/// <summary>A step that the guard had something to say about.</summary>
/// <param name="Action">What is done about it. Of Rollback and Stop: the caller's to do; the engine stands as before the step.</param>
/// <param name="Message">What, and the rows it came of.</param>
/// <param name="RowIds">All rows of the step.</param>
/// <param name="NextBatch">Of Rollback: the first batch of rows (global_batch_rows of the order of rows) that comes after the step's.</param>
public sealed record StepAnomaly(AnomalyAction Action, string Message, IReadOnlyList<long> RowIds, long NextBatch);
