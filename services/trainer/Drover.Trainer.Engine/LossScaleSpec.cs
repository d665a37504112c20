using Drover.Formats.Checkpoints;

namespace Drover.Trainer.Engine;

/// <summary>
/// Dynamic loss scaling (Micikevicius et al., 2018), with the rule and the defaults of torch's GradScaler: the loss is multiplied by
/// the scale, so that small gradients do not become 0 in fp16, and gradients are divided by it before anything is made of them.
/// A step whose gradients are not finite changes no weight, and the scale backs off; after some good steps it grows.
/// </summary>
public sealed record LossScaleSpec
{
    /// <summary>Scale of the first step.</summary>
    public double Initial { get; init; } = 65536;

    /// <summary>The scale is multiplied by it after <see cref="GrowthInterval"/> good steps in a row.</summary>
    public double GrowthFactor { get; init; } = 2;

    /// <summary>The scale is multiplied by it after a step that was skipped.</summary>
    public double BackoffFactor { get; init; } = 0.5;

    /// <summary>Good steps.</summary>
    public long GrowthInterval { get; init; } = 2000;

    /// <summary>Where a run starts.</summary>
    public LossScaleState Start => new(Initial, 0, 0);

    /// <summary>The state after a step.</summary>
    /// <param name="state">Before it.</param>
    /// <param name="isFinite">Its gradients were.</param>
    public LossScaleState After(LossScaleState state, bool isFinite)
    {
        if (!isFinite)
            return new LossScaleState(state.Scale * BackoffFactor, 0, state.SkippedSteps + 1);
        if (state.GoodSteps + 1 < GrowthInterval)
            return state with { GoodSteps = state.GoodSteps + 1 };
        // The scale is used as fp32: it does not grow beyond.
        double grown = state.Scale * GrowthFactor;
        return state with { Scale = float.IsFinite((float)grown) ? grown : state.Scale, GoodSteps = 0 };
    }

    /// <summary>What of it cannot be.</summary>
    public IEnumerable<string> Problems()
    {
        if (!(Initial >= 1 && float.IsFinite((float)Initial)))
            yield return $"loss_scale.initial is {Initial}";
        if (!(GrowthFactor > 1 && double.IsFinite(GrowthFactor)))
            yield return $"loss_scale.growth_factor is {GrowthFactor}";
        if (BackoffFactor is not (> 0 and < 1))
            yield return $"loss_scale.backoff_factor is {BackoffFactor}";
        if (GrowthInterval < 1)
            yield return $"loss_scale.growth_interval is {GrowthInterval}";
    }
}
