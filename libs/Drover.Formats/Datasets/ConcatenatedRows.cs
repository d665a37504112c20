using Drover.Errors;

namespace Drover.Formats.Datasets;

/// <summary>Rows of several datasets under one numbering: those of the first, then those of the second, and so on.</summary>
public sealed class ConcatenatedRows : IRowSource, IDisposable
{
    private readonly IReadOnlyList<IRowSource> _parts;
    private readonly long[] _firstRows;

    /// <summary>Puts sources one behind the other; they are owned.</summary>
    /// <exception cref="DroverException">InvalidArgument for no source.</exception>
    public ConcatenatedRows(IReadOnlyList<IRowSource> parts)
    {
        if (parts.Count == 0)
            throw new DroverException(FailureCode.InvalidArgument, "NO_DATASETS", "A mixture needs a dataset.");
        _parts = parts;
        _firstRows = new long[parts.Count];
        for (int i = 1; i < parts.Count; i++)
            _firstRows[i] = _firstRows[i - 1] + parts[i - 1].RowCount;
        RowCount = parts.Sum(p => p.RowCount);
        MaxLength = parts.Max(p => p.MaxLength);
    }

    /// <inheritdoc />
    public long RowCount { get; }

    /// <inheritdoc />
    public int MaxLength { get; }

    /// <inheritdoc />
    /// <exception cref="DroverException">OutOfRange, and what the source says.</exception>
    public PackedRow Read(long rowId)
    {
        int part = PartOf(rowId);
        return _parts[part].Read(rowId - _firstRows[part]);
    }

    /// <inheritdoc />
    public void Prefetch(IEnumerable<long> rowIds)
    {
        foreach (IGrouping<int, long> ids in rowIds.GroupBy(PartOf))
            _parts[ids.Key].Prefetch(ids.Select(id => id - _firstRows[ids.Key]));
    }

    /// <inheritdoc />
    public void Dispose()
    {
        foreach (IDisposable part in _parts.OfType<IDisposable>())
            part.Dispose();
    }

    private int PartOf(long rowId)
    {
        if (rowId < 0 || rowId >= RowCount)
            throw new DroverException(FailureCode.OutOfRange, "ROW_OUT_OF_RANGE", $"The mixture has {RowCount} rows; row {rowId} was asked for.");
        // The last part that begins at or before the row: one without rows begins where its neighbour does.
        int part = _firstRows.Length - 1;
        while (_firstRows[part] > rowId)
            part--;
        return part;
    }
}
