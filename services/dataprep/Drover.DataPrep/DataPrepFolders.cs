namespace Drover.DataPrep;

/// <summary>Folders of this machine.</summary>
/// <param name="Work">Files that last as long as a task.</param>
/// <param name="Rows">Rows that were looked at.</param>
internal sealed record DataPrepFolders(string Work, string Rows);
