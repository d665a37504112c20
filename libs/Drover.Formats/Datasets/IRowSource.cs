namespace Drover.Formats.Datasets;

/// <summary>Rows by their permanent global id, 0 to <see cref="RowCount"/> - 1.</summary>
public interface IRowSource
{
    /// <summary>Number of rows.</summary>
    long RowCount { get; }

    /// <summary>Longest row allowed, in tokens.</summary>
    int MaxLength { get; }

    /// <summary>Reads one row. Safe to call from one thread at a time.</summary>
    PackedRow Read(long rowId);

    /// <summary>Tells which rows are read soon, so that they can be on the way by then. Never needed, and never waits.</summary>
    void Prefetch(IEnumerable<long> rowIds)
    {
    }
}
