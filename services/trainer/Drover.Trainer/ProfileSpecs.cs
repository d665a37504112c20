using Drover.Protocol.Trainer.V1;

namespace Drover.Trainer;

/// <summary>The profile that a spec asks for: wrong fields, defaults.</summary>
internal static class ProfileSpecs
{
    /// <summary>What 0 means.</summary>
    public const int DefaultSteps = 2;

    /// <summary>Most steps of one profile: its spans are kept in memory.</summary>
    public const int MaxSteps = 1000;

    /// <summary>Every wrong field.</summary>
    public static IEnumerable<string> Problems(ProfileSpec? spec)
    {
        if (spec is null)
            yield break;
        if (spec.FirstStep < 1)
            yield return $"profile.first_step is {spec.FirstStep}; steps are counted from 1";
        if (spec.Steps is < 0 or > MaxSteps)
            yield return $"profile.steps is {spec.Steps}; give 1 to {MaxSteps}, or 0 for {DefaultSteps}";
    }

    /// <summary>How many; 0 for none.</summary>
    public static int StepsOf(ProfileSpec? spec) => spec is null ? 0 : spec.Steps == 0 ? DefaultSteps : spec.Steps;
}
