using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>
/// RMSNorm over each head by itself, before it is rotated (Qwen3): one weight of [head size] for all heads, which every rank of tensor
/// parallelism holds whole. The gradient is that of the heads at hand: what makes it whole is the sum over those ranks.
/// </summary>
internal sealed class HeadNorm(BlockWeights weights, string name, double epsilon)
{
    /// <summary>[tokens, heads, size] to the same; what is kept lies in the caller's dispose scope.</summary>
    public (Tensor Output, Kept Kept) Forward(Tensor heads)
    {
        Tensor rows = heads.reshape(-1, heads.shape[2]);
        (Tensor normed, Tensor rstd) = RmsNorm.Forward(rows, weights[name], epsilon);
        return (normed.view(heads.shape), new Kept(rows, rstd));
    }

    /// <summary>Gradient of the input, [tokens, heads, size]; that of the weight is added to <paramref name="flat"/>.</summary>
    public Tensor Backward(Tensor gradient, Kept kept, Tensor flat)
    {
        (Tensor dx, Tensor dw) = RmsNorm.Backward(gradient.reshape(kept.Rows.shape), kept.Rows, kept.Rstd, weights[name]);
        weights.GradientOf(flat, name, name)?.add_(dw, HeldScalars.One);
        return dx.view(gradient.shape);
    }

    /// <summary>What the backward pass needs.</summary>
    /// <param name="Rows">The input, [tokens * heads, size].</param>
    /// <param name="Rstd">1 / root mean square, [tokens * heads, 1], fp32.</param>
    internal sealed record Kept(Tensor Rows, Tensor Rstd);
}
