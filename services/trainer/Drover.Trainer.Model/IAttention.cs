using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>The middle of the attention half block: from rotated queries, keys and values to mixed values.</summary>
public interface IAttention
{
    /// <summary>Attention to the keys that each query sees.</summary>
    /// <param name="q">[query heads, tokens, head size].</param>
    /// <param name="k">[key heads, tokens, head size].</param>
    /// <param name="v">[key heads, tokens, head size].</param>
    /// <param name="visible">Which keys each query sees.</param>
    /// <returns>[query heads, tokens, head size], and what the backward pass needs beside q, k and v; null for nothing.</returns>
    (Tensor Output, IDisposable? Kept) Forward(Tensor q, Tensor k, Tensor v, VisibleKeys visible);

    /// <summary>Gradients of q, k and v in their shapes, in their type or fp32.</summary>
    (Tensor Q, Tensor K, Tensor V) Backward(Tensor gradient, Tensor q, Tensor k, Tensor v, Tensor output, IDisposable? kept, VisibleKeys visible);
}
