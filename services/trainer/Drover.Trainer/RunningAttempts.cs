using System.Collections.Concurrent;
using System.Globalization;
using Drover.Errors;

namespace Drover.Trainer;

/// <summary>The folders of the attempts that run now, by job: a file in one is a request to its ranks.</summary>
internal sealed class RunningAttempts
{
    private readonly ConcurrentDictionary<string, string> _folders = new(StringComparer.Ordinal);

    /// <summary>The ranks of a job have started.</summary>
    public void Begin(string job, string folder) => _folders[job] = folder;

    /// <summary>They are gone.</summary>
    public void End(string job) => _folders.TryRemove(job, out _);

    /// <summary>Asks the ranks of a job to stop after the running step.</summary>
    public static void AskToStop(string folder) => File.WriteAllText(Path.Combine(folder, "stop"), "");

    /// <summary>Asks the ranks of a job to save a checkpoint after the running step.</summary>
    /// <exception cref="DroverException">FailedPrecondition when no ranks of it run.</exception>
    public void AskToSave(string job) => File.WriteAllText(Path.Combine(FolderOf(job, "there is nothing to save"), "save"), "");

    /// <summary>Asks the ranks of a job to profile their next steps.</summary>
    /// <exception cref="DroverException">InvalidArgument; FailedPrecondition when no ranks of it run.</exception>
    public void AskForProfile(string job, int steps)
    {
        if (steps is < 0 or > ProfileSpecs.MaxSteps)
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_STEPS", $"steps is {steps}; give 1 to {ProfileSpecs.MaxSteps}, or 0 for {ProfileSpecs.DefaultSteps}.");
        string folder = FolderOf(job, "there is nothing to profile. A spec may name steps to be profiled (profile.first_step)");
        // Moved in whole: a rank that looks meanwhile sees all of it or nothing.
        string path = Path.Combine(folder, "profile");
        File.WriteAllText(path + ".part", (steps == 0 ? ProfileSpecs.DefaultSteps : steps).ToString(CultureInfo.InvariantCulture));
        File.Move(path + ".part", path, overwrite: true);
    }

    private string FolderOf(string job, string what) => _folders.TryGetValue(job, out string? folder)
        ? folder
        : throw new DroverException(FailureCode.FailedPrecondition, "JOB_NOT_RUNNING", $"'{job}' has no ranks that run now: {what}.");
}
