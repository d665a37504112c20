using Drover.Protocol.Trainer.V1;
using Drover.Trainer.Contract;

namespace Drover.Trainer;

/// <summary>What can be said of a loss scale by itself: wrong fields, defaults.</summary>
internal static class LossScaleSpecs
{
    /// <summary>Every wrong field.</summary>
    public static IEnumerable<string> Problems(LossScaleSpec? spec, Precision precision)
    {
        if (spec is null)
            yield break;
        if (precision != Precision.Fp16)
            yield return "loss_scale is of the precision fp16 alone";
        TrainLossScale resolved = Resolve(spec);
        if (!(resolved.Initial >= 1 && float.IsFinite((float)resolved.Initial)))
            yield return $"loss_scale.initial is {spec.Initial}; give 1 or more";
        if (!(resolved.GrowthFactor > 1 && double.IsFinite(resolved.GrowthFactor)))
            yield return $"loss_scale.growth_factor is {spec.GrowthFactor}; give more than 1";
        if (resolved.BackoffFactor is not (> 0 and < 1))
            yield return $"loss_scale.backoff_factor is {spec.BackoffFactor}; it is between 0 and 1";
        if (resolved.GrowthInterval < 1)
            yield return $"loss_scale.growth_interval is {spec.GrowthInterval}";
    }

    /// <summary>Every default filled in: those of torch's GradScaler.</summary>
    public static TrainLossScale Resolve(LossScaleSpec spec) => new(
        spec.Initial == 0 ? 65536 : spec.Initial,
        spec.GrowthFactor == 0 ? 2 : spec.GrowthFactor,
        spec.BackoffFactor == 0 ? 0.5 : spec.BackoffFactor,
        spec.GrowthInterval == 0 ? 2000 : spec.GrowthInterval);
}
