namespace Drover.Trainer.Engine;

/// <summary>A box of a logical tensor of the training state, fp32, that lies on this rank.</summary>
/// <param name="Kind">One of the kinds of <c>Drover.Formats.Checkpoints.LogicalTensor</c>: "weight", "exp_avg", "exp_avg_sq".</param>
/// <param name="Name">Hugging Face name.</param>
/// <param name="GlobalShape">Shape of the whole tensor.</param>
/// <param name="Offset">Where the box starts, one number a dim.</param>
/// <param name="Shape">Its extent.</param>
public sealed record StateSlice(string Kind, string Name, long[] GlobalShape, long[] Offset, long[] Shape)
{
    /// <summary>Number of values.</summary>
    public long Count => Shape.Aggregate(1L, (n, d) => checked(n * d));

    /// <summary>A tensor that lies whole on this rank.</summary>
    public static StateSlice Whole(string kind, string name, long[] shape) => new(kind, name, shape, new long[shape.Length], shape);
}

/// <summary>Fills a slice of the state, row-major. Called once for each, on the calling thread.</summary>
/// <param name="slice">Which.</param>
/// <param name="destination">Its <see cref="StateSlice.Count"/> values.</param>
public delegate void StateReader(StateSlice slice, Span<float> destination);
