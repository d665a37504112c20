namespace Drover.Jobs;

/// <summary>Where jobs are kept and how many run at a time. Configuration section "Jobs".</summary>
public sealed record JobsOptions
{
    /// <summary>The SQLite file; its folder is made when it is not there.</summary>
    public string DatabasePath { get; set; } = "";

    /// <summary>Jobs that run at the same time in this service, 1 to 1000. The rest wait in order of creation.</summary>
    public int Slots { get; set; } = 4;
}
