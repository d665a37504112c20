namespace Drover.Trainer.Layout;

/// <summary>The part of a weight that a rank holds: a box of the logical tensor.</summary>
/// <param name="Name">Hugging Face name.</param>
/// <param name="GlobalShape">Shape of the whole weight.</param>
/// <param name="Offset">Where the part starts, one number a dim.</param>
/// <param name="Shape">Its extent.</param>
public sealed record LocalWeight(string Name, long[] GlobalShape, long[] Offset, long[] Shape)
{
    /// <summary>What the learning rate is multiplied by; 0 where the weight is frozen.</summary>
    public double RateFactor { get; init; } = 1;

    /// <summary>The weight stays as it is.</summary>
    public bool IsFrozen => RateFactor == 0;

    /// <summary>Number of values of the part.</summary>
    public long Count => CountOf(Shape);

    /// <summary>Held for compute alone: no gradient, no master weight, no moments; a checkpoint refers to where it came from.</summary>
    public bool IsBase { get; init; }

    /// <summary>These are rows of another weight of the block, trained in its place.</summary>
    public RowsOfWeight? RowsOf { get; init; }

    /// <summary>Whether other ranks hold the rest of it.</summary>
    public bool IsCut => RowsOf is { AreShared: true } || !Shape.AsSpan().SequenceEqual(GlobalShape);

    /// <summary>Held whole, but used on this rank's heads only: the gradient of the weight is the sum over the ranks of the cut.</summary>
    public bool HasPartialGradient { get; init; }

    /// <summary>Weight decay: matrices have it, norms and biases do not.</summary>
    public bool HasDecay => Shape.Length > 1;

    /// <summary>A weight that a rank holds whole.</summary>
    public static LocalWeight Whole(string name, long[] shape) => new(name, shape, new long[shape.Length], shape);

    /// <summary>The rows (dim 0) or columns (dim 1) from <paramref name="first"/> on.</summary>
    public static LocalWeight Part(string name, long[] shape, int dim, long first, long count)
    {
        long[] offset = new long[shape.Length], part = [.. shape];
        (offset[dim], part[dim]) = (first, count);
        return new LocalWeight(name, shape, offset, part);
    }

    private static long CountOf(long[] shape) => shape.Aggregate(1L, (n, d) => checked(n * d));
}

/// <summary>Which rows of a weight another one stands for.</summary>
/// <param name="Weight">Hugging Face name.</param>
/// <param name="First">The first of them in this rank's part of that weight.</param>
/// <param name="AreShared">Ranks share them out, some perhaps having none or all.</param>
public sealed record RowsOfWeight(string Weight, long First, bool AreShared);
