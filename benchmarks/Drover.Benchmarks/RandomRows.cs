using Drover.Formats.Datasets;

namespace Drover.Benchmarks;

/// <summary>Full rows of random ids, of one document or of documents of every length; every token but each first has a label.</summary>
internal sealed class RandomRows(int vocabulary, int length, bool mixed) : IRowSource
{
    public long RowCount => 4096;

    public int MaxLength => length;

    public PackedRow Read(long rowId)
    {
        var random = new Random((int)rowId);
        int[] ids = [.. Enumerable.Range(0, length).Select(_ => random.Next(vocabulary))];
        var lengths = new List<int>();
        for (int room = length; room > 0; room -= lengths[^1])
            lengths.Add(mixed ? Math.Min(room, random.Next(5, Math.Max(6, length / 2))) : room);
        return new PackedRow(ids, [PackedRow.Ignored, .. ids[1..]], [.. lengths]);
    }
}
