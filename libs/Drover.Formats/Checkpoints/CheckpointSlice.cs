namespace Drover.Formats.Checkpoints;

/// <summary>Copies elements of a slice.</summary>
/// <param name="first">Row-major index of the first element wanted, counted within the slice.</param>
/// <param name="target">Filled whole.</param>
public delegate void CopyElements(long first, Span<float> target);

/// <summary>A box of a logical tensor that a rank is about to write.</summary>
/// <param name="Kind">One of the names in <see cref="LogicalTensor"/>.</param>
/// <param name="Name">Hugging Face name.</param>
/// <param name="GlobalShape">Shape of the whole tensor.</param>
/// <param name="Offset">Where the box starts, one number a dimension.</param>
/// <param name="Shape">Its extent; a box without elements is passed over.</param>
/// <param name="Copy">Gives the fp32 values; called in order of elements, from any thread, one call at a time.</param>
public sealed record CheckpointSlice(string Kind, string Name, long[] GlobalShape, long[] Offset, long[] Shape, CopyElements Copy)
{
    /// <summary>A tensor that this rank writes whole.</summary>
    public static CheckpointSlice Whole(string kind, string name, long[] shape, CopyElements copy) =>
        new(kind, name, shape, new long[shape.Length], shape, copy);

    /// <summary>A tensor that lies whole in memory.</summary>
    public static CheckpointSlice Whole(string kind, string name, long[] shape, ReadOnlyMemory<float> values) =>
        Whole(kind, name, shape, (first, target) => values.Span.Slice((int)first, target.Length).CopyTo(target));
}
