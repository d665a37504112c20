using Drover.Trainer.Model.Kernels;
using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>RMSNorm over rows, statistics in fp32 whatever the type (Zhang and Sennrich, 2019).</summary>
public static class RmsNorm
{
    /// <summary>Of [rows, n]: the result, and 1 / root mean square, [rows, 1], fp32.</summary>
    public static (Tensor Result, Tensor Rstd) Forward(Tensor x, Tensor weight, double epsilon) =>
        RmsNormKernel.Takes(x, weight) ? RmsNormKernel.Forward(x, weight, epsilon) : AtenScripts.RmsNorm(x, weight, epsilon);

    /// <summary>Gradient of x in its type, plus <paramref name="plus"/> (of what went past the norm) where it is given; and of the weight, [n], fp32.</summary>
    public static (Tensor Input, Tensor Weight) Backward(Tensor gradient, Tensor x, Tensor rstd, Tensor weight, Tensor? plus = null)
    {
        if (RmsNormKernel.Takes(x, weight))
            return RmsNormKernel.Backward(gradient, x, rstd, weight, plus);
        (Tensor input, Tensor ofWeight) = AtenScripts.RmsNormBackward(gradient, x, rstd, weight);
        return (plus is null ? input : input.add_(plus, HeldScalars.One), ofWeight);
    }
}
