namespace Drover.Formats.Checkpoints;

/// <summary>Where a run's things lie in the object store.</summary>
public static class RunKeys
{
    /// <summary>"runs/&lt;run&gt;".</summary>
    public static string Run(string run) => $"runs/{run}";

    /// <summary>"runs/&lt;run&gt;/checkpoints/step-00001000".</summary>
    public static string Checkpoint(string run, long step) => $"runs/{run}/checkpoints/step-{step:D8}";

    /// <summary>Folder of all checkpoints of a run.</summary>
    public static string Checkpoints(string run) => $"runs/{run}/checkpoints/";

    /// <summary>Folder of TensorBoard event files.</summary>
    public static string TensorBoard(string run) => $"runs/{run}/tensorboard";
}
