using Drover.Protocol.Trainer.V1;
using Drover.Trainer.Contract;

namespace Drover.Trainer;

/// <summary>The guard of a run: wrong fields, defaults.</summary>
internal static class GuardSpecs
{
    private const int DefaultRollbacks = 3;

    /// <summary>Every wrong field.</summary>
    public static IEnumerable<string> Problems(GuardSpec? spec)
    {
        if (spec is null)
            yield break;
        foreach ((string field, AnomalyPolicy policy) in new[] { ("on_not_finite", spec.OnNotFinite), ("on_spike", spec.OnSpike) })
        {
            if (!Enum.IsDefined(policy))
                yield return $"guard.{field} {(int)policy} is unknown";
        }

        if (spec.OnNotFinite == AnomalyPolicy.Warn)
            yield return "guard.on_not_finite is WARN, whose update would destroy the weights; use STOP, SKIP or ROLLBACK";
        if (spec.WindowSteps is < 0 or 1 or > 10_000)
            yield return $"guard.window_steps is {spec.WindowSteps}; give 2 to 10000, or 0 for 128";
        if (spec.Deviations < 0 || !double.IsFinite(spec.Deviations))
            yield return $"guard.deviations is {spec.Deviations}";
        if (spec.MaxSkipsInRow < 0)
            yield return $"guard.max_skips_in_row is {spec.MaxSkipsInRow}";
        if (spec.MaxRollbacks < 0)
            yield return $"guard.max_rollbacks is {spec.MaxRollbacks}";
    }

    /// <summary>What the ranks are told.</summary>
    public static TrainGuard Resolve(GuardSpec? spec)
    {
        spec ??= new GuardSpec();
        // The names of the policies are those of the engine's actions.
        return new TrainGuard(
            (spec.OnNotFinite == AnomalyPolicy.Unspecified ? AnomalyPolicy.Stop : spec.OnNotFinite).ToString(),
            (spec.OnSpike == AnomalyPolicy.Unspecified ? AnomalyPolicy.Warn : spec.OnSpike).ToString(),
            spec.WindowSteps == 0 ? 128 : spec.WindowSteps,
            spec.Deviations == 0 ? 6 : spec.Deviations,
            spec.MaxSkipsInRow == 0 ? 10 : spec.MaxSkipsInRow);
    }

    /// <summary>How often a job may go back.</summary>
    public static int MaxRollbacks(GuardSpec? spec) => spec is { MaxRollbacks: > 0 } ? spec.MaxRollbacks : DefaultRollbacks;
}
