using Drover.Trainer.Model.Kernels;
using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>silu(gate) * up of [tokens, 2 * inner], gate first (Shazeer, 2020).</summary>
internal static class SwiGlu
{
    /// <summary>[tokens, inner].</summary>
    public static Tensor Forward(Tensor gateUp) => SwiGluKernel.Takes(gateUp) ? SwiGluKernel.Forward(gateUp) : AtenScripts.SwiGlu(gateUp);

    /// <summary>Gradient, [tokens, 2 * inner].</summary>
    public static Tensor Backward(Tensor gradient, Tensor gateUp) =>
        SwiGluKernel.Takes(gateUp) ? SwiGluKernel.Backward(gradient, gateUp, null) : AtenScripts.SwiGluBackward(gradient, gateUp);

    /// <summary>Gradient, and the result of <see cref="Forward"/> once more.</summary>
    public static (Tensor Gradient, Tensor Result) BackwardAndForward(Tensor gradient, Tensor gateUp)
    {
        if (!SwiGluKernel.Takes(gateUp))
            return (AtenScripts.SwiGluBackward(gradient, gateUp), AtenScripts.SwiGlu(gateUp));
        Tensor result = empty_like(gradient);
        return (SwiGluKernel.Backward(gradient, gateUp, result), result);
    }
}
