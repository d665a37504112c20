namespace Drover.Trainer;

/// <summary>What the trainer service needs on its machine. Configuration section "Trainer".</summary>
public sealed record TrainerOptions
{
    /// <summary>Drover.Trainer.Worker.dll. Empty: looked for beside this program.</summary>
    public string WorkerPath { get; set; } = "";

    /// <summary>Starts runs of more than one rank: a path, or a name to be found in PATH.</summary>
    public string MpirunPath { get; set; } = "mpirun";

    /// <summary>
    /// A host file of Open MPI ("node1 slots=4", a line a machine): ranks are started on those machines. Empty: on this one, or, inside a
    /// Slurm allocation, on its nodes. On several machines the data folder, the program and .NET lie at the same paths on all of them.
    /// </summary>
    public string HostFile { get; set; } = "";

    /// <summary>How mpirun starts ranks on other machines: the program in place of ssh (Open MPI's plm_rsh_agent). Empty: ssh.</summary>
    public string LaunchAgent { get; set; } = "";

    /// <summary>
    /// "none": ranks run on any core, which is right where several jobs, or more ranks than cores, share a machine. "cores": each rank
    /// has threads_per_rank cores of its own; where ranks of this machine would have to share cores, they are not bound.
    /// </summary>
    public string Binding { get; set; } = RankBinding.None;

    /// <summary>
    /// Cores that trainings use together: one that would need more than are free waits. 0: those of this machine; -1: neither cores nor
    /// memory are counted, only Jobs:Slots. With a host file nothing is counted.
    /// </summary>
    public int Cores { get; set; }

    /// <summary>How long a service that is told to stop (SIGTERM) waits for its ranks to end their step and save, default 20; 0: they are ended at once.</summary>
    public int StopSeconds { get; set; } = 20;
}

/// <summary>Values of <see cref="TrainerOptions.Binding"/>.</summary>
internal static class RankBinding
{
    public const string None = "none";
    public const string Cores = "cores";
}

/// <summary>Where attempts keep their specs, events and logs.</summary>
/// <param name="Path">Folder.</param>
internal sealed record WorkFolder(string Path);
