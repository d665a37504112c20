using Drover.Trainer.Model;

namespace Drover.Trainer.Parallelism;

/// <summary>A box of a logical tensor that lies in one run of a block's owned stretch.</summary>
/// <param name="Name">Hugging Face name.</param>
/// <param name="GlobalShape">Shape of the whole tensor.</param>
/// <param name="Offset">Where the box starts, one number a dim.</param>
/// <param name="Shape">Its extent.</param>
/// <param name="First">Where its first value lies, counted in the owned stretch.</param>
public sealed record FlatBox(string Name, long[] GlobalShape, long[] Offset, long[] Shape, long First)
{
    /// <summary>Number of values.</summary>
    public long Count => Shape.Aggregate(1L, (n, d) => n * d);
}

/// <summary>
/// Turns a stretch of a flat tensor into boxes of logical tensors: a stretch of a matrix is at most the end of a row, whole rows, and
/// the beginning of a row. So that a checkpoint knows tensors and boxes, and nothing of stretches.
/// </summary>
public static class FlatBoxes
{
    /// <summary>The boxes of a stretch of a block.</summary>
    public static IEnumerable<FlatBox> Of(BlockWeights block, long start, long count)
    {
        foreach (LocalWeight weight in block.Weights)
        {
            long offset = block.OffsetOf(weight.Name);
            long from = Math.Max(start, offset), to = Math.Min(start + count, offset + weight.Count);
            if (to <= from)
                continue;
            foreach ((long first, long length, bool rows) in Pieces(from - offset, to - offset, weight.Shape.Length == 1 ? weight.Count : weight.Shape[1]))
                yield return BoxOf(weight, first, length, rows, offset + first - start);
        }
    }

    // Pieces of [from, to) of a row-major matrix that are boxes: whole rows, or within one row.
    private static IEnumerable<(long First, long Length, bool AreRows)> Pieces(long from, long to, long columns)
    {
        long firstRow = (from + columns - 1) / columns * columns, lastRow = to / columns * columns;
        if (firstRow >= lastRow)
        {
            // No whole row: one piece, or two on either side of a row's end.
            if (firstRow > from && firstRow < to)
            {
                yield return (from, firstRow - from, false);
                yield return (firstRow, to - firstRow, false);
            }
            else
            {
                yield return (from, to - from, false);
            }

            yield break;
        }

        if (firstRow > from)
            yield return (from, firstRow - from, false);
        yield return (firstRow, lastRow - firstRow, true);
        if (to > lastRow)
            yield return (lastRow, to - lastRow, false);
    }

    private static FlatBox BoxOf(LocalWeight weight, long first, long length, bool rows, long position)
    {
        if (weight.Shape.Length == 1)
            return new FlatBox(weight.Name, weight.GlobalShape, [weight.Offset[0] + first], [length], position);
        (long row, long column) = Math.DivRem(first, weight.Shape[1]);
        return new FlatBox(weight.Name, weight.GlobalShape, [weight.Offset[0] + row, weight.Offset[1] + column], rows ? [length / weight.Shape[1], weight.Shape[1]] : [1, length], position);
    }
}
