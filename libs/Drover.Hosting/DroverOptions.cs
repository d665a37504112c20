namespace Drover.Hosting;

/// <summary>What every service needs to know. Configuration section "Drover".</summary>
public sealed record DroverOptions
{
    /// <summary>
    /// Folder of everything that this machine keeps: objects/ (when the object store is a folder), jobs/ and work/.
    /// Default: ".drover" in the current directory.
    /// </summary>
    public string DataFolder { get; set; } = ".drover";
}
