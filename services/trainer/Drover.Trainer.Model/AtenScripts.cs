using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>
/// ATen operators that TorchSharp does not wrap, reached through constant TorchScript. A script that does not compile ends
/// the process, so these texts are constants, compiled once, and each is called by a test.
/// </summary>
public static class AtenScripts
{
    // The parser wants a line end after the last statement: hence the empty last line.
    private const string Source = """
        def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
            return torch.rms_norm(x, [x.size(-1)], weight, eps)

        def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
            half = x.size(-1) // 2
            return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin

        def attention(q: Tensor, k: Tensor, v: Tensor, grouped: bool) -> Tensor:
            return torch.scaled_dot_product_attention(q, k, v, None, 0.0, True, scale=None, enable_gqa=grouped)

        def adamw(params: List[Tensor], grads: List[Tensor], exp_avgs: List[Tensor], exp_avg_sqs: List[Tensor], steps: List[Tensor], scale: Tensor, lr: float, beta1: float, beta2: float, decay: float, eps: float):
            empty: List[Tensor] = []
            torch._fused_adamw_(params, grads, exp_avgs, exp_avg_sqs, empty, steps, lr=lr, beta1=beta1, beta2=beta2, weight_decay=decay, eps=eps, amsgrad=False, maximize=False, grad_scale=scale, found_inf=None)

        """;

    // Held for ever: disposing a compilation unit does not free it anyway.
    private static readonly jit.CompilationUnit Unit = jit.compile(Source);

    /// <summary>RMSNorm over the last dim: statistics in fp32 whatever the type (Zhang and Sennrich, 2019).</summary>
    public static Tensor RmsNorm(Tensor x, Tensor weight, double epsilon) => (Tensor)Unit.invoke("rms_norm", x, weight, epsilon)!;

    /// <summary>Rotary embedding, halves rotated as in Hugging Face: x [..., tokens, head size], tables [tokens, head size].</summary>
    public static Tensor Rotate(Tensor x, Tensor cos, Tensor sin) => (Tensor)Unit.invoke("rotate", x, cos, sin)!;

    /// <summary>Causal attention: q [batch, heads, tokens, size], k and v with as many heads or fewer that divide them.</summary>
    public static Tensor CausalAttention(Tensor q, Tensor k, Tensor v) => (Tensor)Unit.invoke("attention", q, k, v, q.shape[1] != k.shape[1])!;

    /// <summary>
    /// One fused AdamW update in place; all tensors fp32. The gradient is divided by <paramref name="gradientScale"/> (a scalar
    /// tensor), <paramref name="step"/> (a scalar tensor) counts from 1 and is not changed. The script takes lists: one that makes
    /// them of single tensors is optimised away whole, its writes being to nobody's list.
    /// </summary>
    public static void AdamW(Tensor weight, Tensor gradient, Tensor firstMoment, Tensor secondMoment, Tensor step, Tensor gradientScale, double learningRate, double beta1, double beta2, double weightDecay, double epsilon) =>
        Unit.invoke("adamw", new[] { weight }, new[] { gradient }, new[] { firstMoment }, new[] { secondMoment }, new[] { step }, gradientScale, learningRate, beta1, beta2, weightDecay, epsilon);
}
