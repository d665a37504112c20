namespace Drover.Trainer.Engine;

/// <summary>How the learning rate goes after the warm-up.</summary>
public enum ScheduleKind
{
    /// <summary>Half a cosine down to the minimum at the last step (Loshchilov and Hutter, 2017).</summary>
    Cosine = 1,

    /// <summary>It stays at the peak.</summary>
    Constant = 2,

    /// <summary>A line down to the minimum at the last step.</summary>
    Linear = 3,

    /// <summary>It stays at the peak, and comes down to the minimum in the last steps (Hu et al., 2024).</summary>
    WarmupStableDecay = 4,

    /// <summary>(1 - the part of the steps that is done) to a power, down to the minimum at the last step.</summary>
    Polynomial = 5,
}

/// <summary>How <see cref="ScheduleKind.WarmupStableDecay"/> comes down.</summary>
public enum DecayShape
{
    /// <summary>Half a cosine.</summary>
    Cosine = 1,

    /// <summary>A line.</summary>
    Linear = 2,

    /// <summary>1 - the root of the part that is done (Hägele et al., 2024).</summary>
    InverseSquareRoot = 3,
}

/// <summary>
/// The learning rate over the steps of a run: a line from 0 up to the peak, then a curve. Step s of the run uses what transformers'
/// schedules give after s steps of theirs, so that the first step does not have the rate 0.
/// </summary>
public sealed record ScheduleSpec
{
    /// <summary>The curve.</summary>
    public ScheduleKind Kind { get; init; } = ScheduleKind.Cosine;

    /// <summary>Optimizer steps of the run.</summary>
    public required long TotalSteps { get; init; }

    /// <summary>Steps until the peak is reached.</summary>
    public long WarmupSteps { get; init; }

    /// <summary>Learning rate of the last step divided by the peak. Not of <see cref="ScheduleKind.Constant"/>.</summary>
    public double MinLearningRateRatio { get; init; } = 0.1;

    /// <summary>The last steps, in which <see cref="ScheduleKind.WarmupStableDecay"/> comes down.</summary>
    public long DecaySteps { get; init; }

    /// <summary>How it does.</summary>
    public DecayShape DecayShape { get; init; } = DecayShape.Cosine;

    /// <summary>Of <see cref="ScheduleKind.Polynomial"/>.</summary>
    public double Power { get; init; } = 1;

    /// <summary>A part of a run in steps, rounded up; but 0.07 of 100 is 7, though the product is a little more.</summary>
    public static long StepsOf(double ratio, long totalSteps) => (long)Math.Ceiling((ratio * totalSteps) - 1e-9);

    /// <summary>The part of the peak learning rate that a step uses, steps counted from 1.</summary>
    public double FactorAt(long step)
    {
        if (step <= WarmupSteps)
            return (double)step / WarmupSteps;
        long decaying = Kind == ScheduleKind.WarmupStableDecay ? DecaySteps : TotalSteps - WarmupSteps, first = TotalSteps - decaying;
        double done = decaying <= 0 ? (step >= TotalSteps ? 1 : 0) : Math.Clamp((double)(step - first) / decaying, 0, 1);
        double left = Kind switch
        {
            ScheduleKind.Constant => 1,
            ScheduleKind.Linear => 1 - done,
            ScheduleKind.Polynomial => Math.Pow(1 - done, Power),
            ScheduleKind.WarmupStableDecay => Shape(done),
            _ => HalfCosine(done),
        };
        return MinLearningRateRatio + ((1 - MinLearningRateRatio) * left);
    }

    /// <summary>What of it cannot be.</summary>
    public IEnumerable<string> Problems()
    {
        if (TotalSteps <= 0)
            yield return $"steps is {TotalSteps}";
        if (!Enum.IsDefined(Kind))
            yield return $"schedule.kind {Kind} is unknown";
        if (!Enum.IsDefined(DecayShape))
            yield return $"schedule.decay_shape {DecayShape} is unknown";
        if (WarmupSteps < 0)
            yield return $"schedule.warmup_steps is {WarmupSteps}";
        if (MinLearningRateRatio is not (>= 0 and <= 1))
            yield return $"schedule.min_learning_rate_ratio is {MinLearningRateRatio}";
        if (!(Power > 0))
            yield return $"schedule.power is {Power}";
        if (Kind == ScheduleKind.WarmupStableDecay && (DecaySteps < 0 || WarmupSteps + DecaySteps > TotalSteps))
            yield return $"schedule.warmup_steps ({WarmupSteps}) and schedule.decay_steps ({DecaySteps}) do not fit into the {TotalSteps} steps of the run";
    }

    private double Shape(double done) => DecayShape switch
    {
        DecayShape.Linear => 1 - done,
        DecayShape.InverseSquareRoot => 1 - Math.Sqrt(done),
        _ => HalfCosine(done),
    };

    private static double HalfCosine(double done) => 0.5 * (1 + Math.Cos(Math.PI * done));
}
