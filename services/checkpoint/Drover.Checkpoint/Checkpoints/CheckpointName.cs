using System.Globalization;
using System.Text.RegularExpressions;
using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.ObjectStore;

namespace Drover.Checkpoint.Checkpoints;

/// <summary>"runs/&lt;run&gt;/checkpoints/step-00001000", taken apart.</summary>
internal sealed partial record CheckpointName(string Run, long Step)
{
    /// <summary>The prefix in the object store.</summary>
    public string Prefix => RunKeys.Checkpoint(Run, Step);

    /// <summary>Takes a name apart.</summary>
    /// <exception cref="DroverException">InvalidArgument.</exception>
    public static CheckpointName Parse(string name) => Find(name)
        ?? throw new DroverException(FailureCode.InvalidArgument, "INVALID_CHECKPOINT_NAME", $"'{name}' is not the name of a checkpoint, like 'runs/my-run/checkpoints/step-00001000'.");

    /// <summary>Takes a name apart; null when it is none.</summary>
    public static CheckpointName? Find(string name)
    {
        Match match = Shape().Match(name);
        if (!match.Success || !long.TryParse(match.Groups["step"].ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture, out long step))
            return null;
        var parsed = new CheckpointName(match.Groups["run"].Value, step);
        // One name a checkpoint: no other count of zeros.
        return parsed.Prefix == name ? parsed : null;
    }

    /// <summary>Refuses a run's name that cannot be part of a key.</summary>
    public static string CheckRun(string run)
    {
        if (run.Contains('/', StringComparison.Ordinal))
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_RUN_NAME", $"'{run}' is not the name of a run: leave out everything but <run> of 'runs/<run>'.");
        return ObjectKey.Check(run);
    }

    [GeneratedRegex(@"\Aruns/(?<run>[A-Za-z0-9._-]+)/checkpoints/step-(?<step>[0-9]{8,18})\z")]
    private static partial Regex Shape();
}
