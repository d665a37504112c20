namespace Drover.Jobs;

/// <summary>Where jobs are kept and how many run at a time. Configuration section "Jobs".</summary>
public sealed record JobsOptions
{
    /// <summary>The SQLite file; its folder is made when it is not there.</summary>
    public string DatabasePath { get; set; } = "";

    /// <summary>Jobs that run at the same time in this service, 1 to 1000. The rest wait: those of a higher priority go first, then those of the owner who has the fewest running, then the oldest.</summary>
    public int Slots { get; set; } = 4;
}
