namespace Drover.Trainer;

/// <summary>What the trainer service needs on its machine. Configuration section "Trainer".</summary>
public sealed record TrainerOptions
{
    /// <summary>Drover.Trainer.Worker.dll. Empty: looked for beside this program.</summary>
    public string WorkerPath { get; set; } = "";

    /// <summary>Starts runs of more than one rank: a path, or a name to be found in PATH.</summary>
    public string MpirunPath { get; set; } = "mpirun";
}

/// <summary>Where attempts keep their specs, events and logs.</summary>
/// <param name="Path">Folder.</param>
internal sealed record WorkFolder(string Path);
