using System.Text.Json;
using System.Text.Json.Serialization;

namespace Drover.Trainer.Engine.Tests;

/// <summary>Learning rates against transformers' schedules; tests/goldens/schedules.py wrote the file.</summary>
public sealed class ScheduleTests
{
    private static readonly JsonSerializerOptions Names = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower, Converters = { new JsonStringEnumConverter() } };

    [Fact]
    public void Every_kind_gives_the_learning_rates_of_transformers()
    {
        Golden[] cases = JsonSerializer.Deserialize<Golden[]>(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "schedules.golden.json")), Names)!;
        Assert.Equal(Enum.GetValues<ScheduleKind>(), cases.Select(c => c.Schedule.Kind).Distinct().Order());
        Assert.Equal(Enum.GetValues<DecayShape>(), cases.Select(c => c.Schedule.DecayShape).Distinct().Order());
        foreach ((ScheduleSpec schedule, double[] factors) in cases)
        {
            Assert.Empty(schedule.Problems());
            Assert.Equal(schedule.TotalSteps, factors.Length);
            for (int i = 0; i < factors.Length; i++)
                Assert.True(Math.Abs(schedule.FactorAt(i + 1) - factors[i]) < 1e-12, $"{schedule}, step {i + 1}: {schedule.FactorAt(i + 1)} against {factors[i]}");
        }
    }

    [Fact]
    public void A_ratio_of_the_run_is_rounded_up_to_whole_steps()
    {
        Assert.Equal(3, ScheduleSpec.StepsOf(0.03, 100));
        Assert.Equal(4, ScheduleSpec.StepsOf(0.031, 100));
        Assert.Equal(7, ScheduleSpec.StepsOf(0.07, 100));
        Assert.Equal(0, ScheduleSpec.StepsOf(0, 100));
    }

    [Theory]
    [InlineData(8, 13, false)]
    [InlineData(8, 12, true)]
    public void Warm_up_and_decay_must_fit_into_the_run(long warmup, long decay, bool fits)
    {
        var schedule = new ScheduleSpec { Kind = ScheduleKind.WarmupStableDecay, TotalSteps = 20, WarmupSteps = warmup, DecaySteps = decay };
        Assert.Equal(fits, !schedule.Problems().Any());
    }

    private sealed record Golden(ScheduleSpec Schedule, double[] Factors);
}
