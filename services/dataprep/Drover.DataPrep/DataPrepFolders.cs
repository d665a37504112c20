namespace Drover.DataPrep;

/// <summary>Folders of this machine.</summary>
/// <param name="Work">Files that last as long as a task.</param>
internal sealed record DataPrepFolders(string Work);
