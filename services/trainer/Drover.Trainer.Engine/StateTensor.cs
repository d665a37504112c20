namespace Drover.Trainer.Engine;

/// <summary>A logical tensor of the training state, fp32, whole on this rank.</summary>
/// <param name="Kind">One of the kinds of <c>Drover.Formats.Checkpoints.LogicalTensor</c>: "weight", "exp_avg", "exp_avg_sq".</param>
/// <param name="Name">Hugging Face name.</param>
/// <param name="Shape">Global shape.</param>
public sealed record StateTensor(string Kind, string Name, long[] Shape)
{
    /// <summary>Number of elements.</summary>
    public long Count => Shape.Aggregate(1L, (n, d) => checked(n * d));
}

/// <summary>Fills a tensor of the state, row-major. Called once for each, in the order of the state, on the calling thread.</summary>
/// <param name="tensor">Which.</param>
/// <param name="destination">Its <see cref="StateTensor.Count"/> values.</param>
public delegate void StateReader(StateTensor tensor, Span<float> destination);
