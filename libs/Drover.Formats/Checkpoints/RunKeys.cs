namespace Drover.Formats.Checkpoints;

/// <summary>Where a run's things lie in the object store.</summary>
public static class RunKeys
{
    private const string BestName = "best";

    /// <summary>"runs/&lt;run&gt;".</summary>
    public static string Run(string run) => $"runs/{run}";

    /// <summary>"runs/&lt;run&gt;/checkpoints/step-00001000".</summary>
    public static string Checkpoint(string run, long step) => $"runs/{run}/checkpoints/step-{step:D8}";

    /// <summary>Folder of all checkpoints of a run.</summary>
    public static string Checkpoints(string run) => $"runs/{run}/checkpoints/";

    /// <summary>What stands for the checkpoint of a run with the best loss on held-out data, where a checkpoint is asked for.</summary>
    public static string Best(string run) => $"{Checkpoints(run)}{BestName}";

    /// <summary>Whether a name is that of a best checkpoint.</summary>
    public static bool IsBest(string name) => name.EndsWith("/checkpoints/" + BestName, StringComparison.Ordinal);

    /// <summary>Folder of the profile of some steps, from the first of them on.</summary>
    public static string Profile(string run, long step) => $"{Profiles(run)}/step-{step:D8}";

    /// <summary>Folder of all profiles of a run.</summary>
    public static string Profiles(string run) => $"runs/{run}/profiles";

    /// <summary>Folder of TensorBoard event files.</summary>
    public static string TensorBoard(string run) => $"runs/{run}/tensorboard";
}
