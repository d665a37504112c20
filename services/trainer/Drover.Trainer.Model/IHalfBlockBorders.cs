using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>
/// What happens where a half block (attention, feed-forward) begins and ends, when ranks hold parts of its weights: the
/// collectives of tensor and sequence parallelism stand here and nowhere inside the half block. The results may be the arguments.
/// </summary>
public interface IHalfBlockBorders
{
    /// <summary>Before the first products: the tokens that they run over, [tokens, hidden].</summary>
    Tensor Enter(Tensor x);

    /// <summary>After the last product: this rank's part of the sum becomes the sum, for the tokens of the residual stream.</summary>
    Tensor Leave(Tensor partial);

    /// <summary>Gradient of <see cref="Leave"/>.</summary>
    Tensor LeaveGradient(Tensor gradient);

    /// <summary>Gradient of <see cref="Enter"/>.</summary>
    Tensor EnterGradient(Tensor gradient);

    /// <summary>Where ranks hold columns of a weight: adds up over them, in place, what each knows of its rows, fp32.</summary>
    void SumOverParts(Tensor values);
}

/// <summary>The rank holds all weights: nothing happens.</summary>
public sealed class WholeBorders : IHalfBlockBorders
{
    /// <inheritdoc />
    public Tensor Enter(Tensor x) => x;

    /// <inheritdoc />
    public Tensor Leave(Tensor partial) => partial;

    /// <inheritdoc />
    public Tensor LeaveGradient(Tensor gradient) => gradient;

    /// <inheritdoc />
    public Tensor EnterGradient(Tensor gradient) => gradient;

    /// <inheritdoc />
    public void SumOverParts(Tensor values)
    {
    }
}
