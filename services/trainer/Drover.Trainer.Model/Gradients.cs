using Drover.Trainer.Model.Kernels;
using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>Adds gradients of weights to fp32 sums.</summary>
internal static class Gradients
{
    /// <summary>sum += scale * dy' x: of a weight [out, in] from dy [tokens, out] and x [tokens, in]; nothing where there is no sum.</summary>
    public static void AddProduct(Tensor? sum, Tensor dy, Tensor x, double scale = 1)
    {
        if (sum is null || sum.numel() == 0)
            return;
        using var scope = NewDisposeScope();
        if (dy.dtype == ScalarType.Float32)
        {
            sum.addmm_(dy.t(), x, 1, (float)scale);
            return;
        }

        // libtorch has no bf16 product with an fp32 result on CPUs: the product is rounded once, the sum is fp32.
        Tensor product = dy.t().matmul(x);
        using TorchSharp.Scalar held = scale;
        if (AccumulateKernel.Takes(sum, product))
            AccumulateKernel.Add(sum, product, (float)scale);
        else
            sum.add_(product, held);
    }

    /// <summary>sum += the rows of dy added up: of a bias; nothing where there is no sum.</summary>
    public static void AddRows(Tensor? sum, Tensor dy)
    {
        if (sum is null)
            return;
        using var scope = NewDisposeScope();
        sum.add_(dy.sum(0, type: ScalarType.Float32), HeldScalars.One);
    }
}
