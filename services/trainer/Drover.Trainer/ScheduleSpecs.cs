using Drover.Protocol.Trainer.V1;
using Drover.Trainer.Contract;

namespace Drover.Trainer;

/// <summary>What can be said of a schedule by itself: wrong fields, defaults.</summary>
internal static class ScheduleSpecs
{
    private const double DefaultDecayRatio = 0.1;

    /// <summary>Every wrong field.</summary>
    /// <param name="schedule">The schedule.</param>
    /// <param name="steps">Of the run; 0 where epochs decide, and then a warm-up that is too long shows when the run starts.</param>
    public static IEnumerable<string> Problems(ScheduleSpec schedule, long steps)
    {
        bool isWsd = schedule.Kind == ScheduleKind.Wsd;
        if (!Enum.IsDefined(schedule.Kind))
            yield return $"schedule.kind {(int)schedule.Kind} is unknown";
        if (!Enum.IsDefined(schedule.DecayShape))
            yield return $"schedule.decay_shape {(int)schedule.DecayShape} is unknown";
        foreach ((string part, long count, double ratio) in new[] { ("warmup", schedule.WarmupSteps, schedule.WarmupRatio), ("decay", schedule.DecaySteps, schedule.DecayRatio) })
        {
            if (count < 0)
                yield return $"schedule.{part}_steps is {count}";
            if (ratio is not (>= 0 and <= 1))
                yield return $"schedule.{part}_ratio is {ratio}; it is a part of the run, 0 to 1";
            if (count != 0 && ratio != 0)
                yield return $"schedule.{part}_steps and schedule.{part}_ratio are both given: give one";
        }

        if (schedule.MinLearningRateRatio is not (>= 0 and <= 1))
            yield return $"schedule.min_learning_rate_ratio is {schedule.MinLearningRateRatio}";
        if (!(schedule.Power >= 0 && double.IsFinite(schedule.Power)))
            yield return $"schedule.power is {schedule.Power}";
        if (!isWsd && (schedule.DecaySteps != 0 || schedule.DecayRatio != 0 || schedule.DecayShape != DecayShape.Unspecified))
            yield return "schedule.decay_steps, decay_ratio and decay_shape are of the kind wsd alone";
        if (schedule.Kind != ScheduleKind.Polynomial && schedule.Power != 0)
            yield return "schedule.power is of the kind polynomial alone";
        double warmup = schedule.WarmupSteps + Math.Ceiling((schedule.WarmupRatio * steps) - 1e-9), decay = schedule.DecaySteps + Math.Ceiling((DecayRatio(schedule) * steps) - 1e-9);
        if (isWsd && steps > 0 && warmup + decay > steps)
            yield return $"the schedule's warm-up ({warmup} steps) and decay ({decay}) do not fit into the {steps} steps of the run";
    }

    /// <summary>Every default filled in.</summary>
    public static TrainSchedule Resolve(ScheduleSpec schedule) => new(
        schedule.Kind switch
        {
            ScheduleKind.Constant => "Constant",
            ScheduleKind.Linear => "Linear",
            ScheduleKind.Wsd => "WarmupStableDecay",
            ScheduleKind.Polynomial => "Polynomial",
            _ => "Cosine",
        },
        schedule.WarmupSteps,
        schedule.WarmupRatio,
        schedule.HasMinLearningRateRatio ? schedule.MinLearningRateRatio : 0.1,
        schedule.DecaySteps,
        DecayRatio(schedule),
        schedule.DecayShape switch
        {
            DecayShape.Linear => "Linear",
            DecayShape.InverseSquareRoot => "InverseSquareRoot",
            _ => "Cosine",
        },
        schedule.Power == 0 ? 1 : schedule.Power);

    private static double DecayRatio(ScheduleSpec schedule) =>
        schedule.Kind != ScheduleKind.Wsd || schedule.DecaySteps != 0 || schedule.DecayRatio != 0 ? schedule.DecayRatio : DefaultDecayRatio;
}
