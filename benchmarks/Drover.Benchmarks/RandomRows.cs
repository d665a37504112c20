using Drover.Formats.Datasets;

namespace Drover.Benchmarks;

/// <summary>Full rows of one document of random ids; every token but the first has a label.</summary>
internal sealed class RandomRows(int vocabulary, int length) : IRowSource
{
    public long RowCount => 64;

    public int MaxLength => length;

    public PackedRow Read(long rowId)
    {
        var random = new Random((int)rowId);
        int[] ids = [.. Enumerable.Range(0, length).Select(_ => random.Next(vocabulary))];
        return new PackedRow(ids, [PackedRow.Ignored, .. ids[1..]], [length]);
    }
}
