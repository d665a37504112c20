namespace Drover.Formats.Checkpoints;

/// <summary>A box of an n-dimensional tensor: where it starts and its extent. A scalar is the box of no dimensions.</summary>
/// <param name="Offset">Where it starts, one number a dimension.</param>
/// <param name="Shape">Its extent.</param>
public readonly record struct TensorBox(long[] Offset, long[] Shape)
{
    /// <summary>Dimensions.</summary>
    public int Rank => Shape.Length;

    /// <summary>Values that it holds.</summary>
    public long ElementCount => Count(Shape);

    /// <summary>Values of a shape.</summary>
    public static long Count(ReadOnlySpan<long> shape)
    {
        long count = 1;
        foreach (long d in shape)
            count = checked(count * d);
        return count;
    }

    /// <summary>What both boxes hold, or null for nothing. Both are boxes of the same tensor.</summary>
    public TensorBox? Intersect(TensorBox other)
    {
        long[] offset = new long[Rank];
        long[] shape = new long[Rank];
        for (int d = 0; d < Rank; d++)
        {
            offset[d] = Math.Max(Offset[d], other.Offset[d]);
            shape[d] = Math.Min(Offset[d] + Shape[d], other.Offset[d] + other.Shape[d]) - offset[d];
            if (shape[d] <= 0)
                return null;
        }

        return new TensorBox(offset, shape);
    }

    /// <summary>Whether the box lies within a tensor of this shape, with no negative number and no overflow.</summary>
    public bool LiesIn(ReadOnlySpan<long> shape)
    {
        if (Offset.Length != shape.Length || Shape.Length != shape.Length)
            return false;
        for (int d = 0; d < shape.Length; d++)
        {
            if (Offset[d] < 0 || Shape[d] < 0 || Offset[d] > shape[d] || Shape[d] > shape[d] - Offset[d])
                return false;
        }

        return true;
    }

    /// <summary>
    /// The stretches of <paramref name="part"/> that are contiguous both in this box and in <paramref name="target"/>
    /// (both row-major, both holding all of part), in rising order of position.
    /// </summary>
    public IEnumerable<(long Here, long There, long Length)> Runs(TensorBox part, TensorBox target)
    {
        // Trailing dimensions that are whole on both sides melt into one run.
        int inner = Rank;
        long length = 1;
        while (inner > 0)
        {
            inner--;
            length *= part.Shape[inner];
            if (part.Shape[inner] != Shape[inner] || part.Shape[inner] != target.Shape[inner])
                break;
        }

        long[] index = new long[inner];
        while (true)
        {
            yield return (Position(part, index), target.Position(part, index), length);
            int d = inner - 1;
            while (d >= 0 && ++index[d] == part.Shape[d])
                index[d--] = 0;
            if (d < 0)
                yield break;
        }
    }

    /// <summary>Row-major position in this box of part's element (index..., 0, 0).</summary>
    private long Position(TensorBox part, long[] index)
    {
        long position = 0;
        for (int d = 0; d < Rank; d++)
            position = (position * Shape[d]) + part.Offset[d] - Offset[d] + (d < index.Length ? index[d] : 0);
        return position;
    }
}
