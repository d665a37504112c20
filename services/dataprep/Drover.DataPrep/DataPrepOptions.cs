namespace Drover.DataPrep;

/// <summary>Configuration section "DataPrep".</summary>
public sealed record DataPrepOptions
{
    /// <summary>"service": coordinator, API and workers. "worker": workers alone, for the service at Services:dataprep.</summary>
    public string Role { get; set; } = "service";

    /// <summary>Tasks done at the same time in this process; -1 means one a core. 0 leaves all work to other processes.</summary>
    public int Workers { get; set; } = -1;

    /// <summary>How long a worker may be silent before its task goes to another, seconds.</summary>
    public int LeaseSeconds { get; set; } = 60;

    internal bool IsWorker => Role == "worker";

    internal int WorkerCount => Workers < 0 ? Environment.ProcessorCount : Workers;
}
