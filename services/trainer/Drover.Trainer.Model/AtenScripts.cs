using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>
/// ATen operators that TorchSharp does not wrap, and chains of operators that are called often, reached through constant
/// TorchScript. A script that does not compile ends the process, so these texts are constants, compiled once, and each is
/// called by a test.
/// </summary>
public static class AtenScripts
{
    // The parser wants a line end after the last statement: hence the empty last line.
    private const string Source = """
        def rms_norm(x: Tensor, weight: Tensor, eps: float):
            return torch._fused_rms_norm(x, [x.size(-1)], weight, eps)

        def rms_norm_backward(dy: Tensor, x: Tensor, rstd: Tensor, weight: Tensor):
            g = dy.to(6)
            w = weight.to(6)
            dx, dw, none = torch.native_layer_norm_backward(g, x.to(6), [x.size(-1)], torch.zeros_like(rstd), rstd, w, None, [True, True, False])
            return dx.addcmul_(torch.mv(g, w).unsqueeze(1), rstd, value=1.0 / x.size(-1)).to(x.dtype), dw

        def row_squares(weight: Tensor) -> Tensor:
            return torch.linalg_vector_norm(weight, 2, [1], False, dtype=6).square()

        def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
            half = x.size(-1) // 2
            out = x * cos
            out[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-1.0)
            out[..., half:].addcmul_(x[..., :half], sin[..., half:])
            return out

        def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float) -> Tensor:
            s = torch.baddbmm(mask.expand(q.size(0), -1, -1), q, k.transpose(1, 2), beta=1.0, alpha=scale)
            return torch.bmm(torch.softmax(s, -1), v)

        def attend_backward(q: Tensor, k: Tensor, v: Tensor, dout: Tensor, mask: Tensor, scale: float):
            s = torch.baddbmm(mask.expand(q.size(0), -1, -1), q, k.transpose(1, 2), beta=1.0, alpha=scale)
            p = torch.softmax(s, -1)
            dp = torch.bmm(dout, v.transpose(1, 2))
            ds = torch._softmax_backward_data(dp, p, -1, p.dtype)
            return torch.bmm(ds, k), torch.bmm(ds.transpose(1, 2), q), torch.bmm(p.transpose(1, 2), dout)

        def attend_partly(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float):
            s = torch.baddbmm(mask.expand(q.size(0), -1, -1), q, k.transpose(1, 2), beta=1.0, alpha=scale).to(6)
            p = torch.softmax(s, -1)
            normalizer = torch.amax(s, [-1], True) - torch.log(torch.amax(p, [-1], True))
            return torch.bmm(p.to(v.dtype), v).to(6), normalizer

        def attend_partly_backward(q: Tensor, k: Tensor, v: Tensor, dout: Tensor, delta: Tensor, normalizer: Tensor, mask: Tensor, scale: float):
            s = torch.baddbmm(mask.expand(q.size(0), -1, -1), q, k.transpose(1, 2), beta=1.0, alpha=scale).to(6)
            p = torch.softmax(s, -1)
            here = torch.amax(s, [-1], True) - torch.log(torch.amax(p, [-1], True))
            p = p.mul_(torch.exp(here - normalizer))
            ds = ((torch.bmm(dout, v.transpose(1, 2)).to(6) - delta) * p).to(q.dtype)
            return torch.bmm(ds, k), torch.bmm(ds.transpose(1, 2), q), torch.bmm(p.to(q.dtype).transpose(1, 2), dout)

        def flash(q: Tensor, k: Tensor, v: Tensor, borders: Tensor, longest: int, left: int, scale: float):
            out, normalizer, rng, unused, mask = torch._flash_attention_forward(q, k, v, borders, borders, longest, longest, 0.0, True, False, scale=scale, window_size_left=left, window_size_right=0)
            return out, normalizer, rng, unused

        def flash_backward(dout: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, normalizer: Tensor, borders: Tensor, longest: int, rng: Tensor, unused: Tensor, left: int, scale: float):
            return torch._flash_attention_backward(dout, q, k, v, out, normalizer, borders, borders, longest, longest, 0.0, True, rng, unused, scale=scale, window_size_left=left, window_size_right=0)

        def swiglu(gate_up: Tensor) -> Tensor:
            inner = gate_up.size(1) // 2
            return torch.silu(gate_up[:, :inner]).mul_(gate_up[:, inner:])

        def swiglu_backward(dy: Tensor, gate_up: Tensor) -> Tensor:
            inner = gate_up.size(1) // 2
            gate = gate_up[:, :inner]
            up = gate_up[:, inner:]
            d = torch.empty_like(gate_up)
            torch.silu_backward(dy * up, gate, grad_input=d[:, :inner])
            torch.mul(torch.silu(gate), dy, out=d[:, inner:])
            return d

        def adamw(params: List[Tensor], grads: List[Tensor], exp_avgs: List[Tensor], exp_avg_sqs: List[Tensor], steps: List[Tensor], scale: Tensor, lr: float, beta1: float, beta2: float, decay: float, eps: float):
            empty: List[Tensor] = []
            torch._fused_adamw_(params, grads, exp_avgs, exp_avg_sqs, empty, steps, lr=lr, beta1=beta1, beta2=beta2, weight_decay=decay, eps=eps, amsgrad=False, maximize=False, grad_scale=scale, found_inf=None)

        """;

    // Held for ever: disposing a compilation unit does not free it anyway.
    private static readonly jit.CompilationUnit Unit = jit.compile(Source);

    /// <summary>RMSNorm over the last dim, statistics in fp32 whatever the type (Zhang and Sennrich, 2019): the result, and 1 / root mean square, [tokens, 1], fp32.</summary>
    public static (Tensor Result, Tensor Rstd) RmsNorm(Tensor x, Tensor weight, double epsilon) => Two(Call("rms_norm", x, weight, epsilon));

    /// <summary>
    /// Gradients of <see cref="RmsNorm"/>: of x [tokens, hidden] in its type, and of the weight in fp32. libtorch has no fused kernel for them on CPUs;
    /// that of layer norm, told that the mean is 0, differs by one term, the mean of the weighted gradient, which is added back.
    /// </summary>
    public static (Tensor Input, Tensor Weight) RmsNormBackward(Tensor gradient, Tensor x, Tensor rstd, Tensor weight) => Two(Call("rms_norm_backward", gradient, x, rstd, weight));

    /// <summary>Sum of squares of each row of a matrix, [rows], fp32 whatever its type.</summary>
    public static Tensor RowSquares(Tensor weight) => (Tensor)Call("row_squares", weight)!;

    /// <summary>Rotary embedding, halves rotated as in Hugging Face: x [..., head size], tables that broadcast to it. With the sine negated it is its own gradient.</summary>
    public static Tensor Rotate(Tensor x, Tensor cos, Tensor sin) => (Tensor)Call("rotate", x, cos, sin)!;

    /// <summary>softmax(scale q k' + mask) v: q [heads, queries, size], k and v [heads, keys, size], mask [queries, keys] in their type.</summary>
    public static Tensor Attend(Tensor q, Tensor k, Tensor v, Tensor mask, double scale) => (Tensor)Call("attend", q, k, v, mask, scale)!;

    /// <summary>Gradients of <see cref="Attend"/> of q, k, v; those of q and k still lack the factor scale.</summary>
    public static (Tensor Q, Tensor K, Tensor V) AttendBackward(Tensor q, Tensor k, Tensor v, Tensor gradient, Tensor mask, double scale) =>
        Three(Call("attend_backward", q, k, v, gradient, mask, scale));

    /// <summary>As <see cref="Attend"/> over some of the keys: the result in fp32, and the logarithm of the sum of exponentials, [heads, queries, 1], fp32.</summary>
    public static (Tensor Result, Tensor Normalizer) AttendPartly(Tensor q, Tensor k, Tensor v, Tensor mask, double scale) => Two(Call("attend_partly", q, k, v, mask, scale));

    /// <summary>Gradients of attention over all keys that come from some of them; those of q and k still lack the factor scale.</summary>
    /// <param name="q">[heads, queries, size].</param>
    /// <param name="k">The keys at hand.</param>
    /// <param name="v">Their values.</param>
    /// <param name="gradient">Of the result over all keys.</param>
    /// <param name="delta">Sum of gradient times result over the last dim, [heads, queries, 1], fp32.</param>
    /// <param name="normalizer">Over all keys, [heads, queries, 1], fp32.</param>
    /// <param name="mask">[queries, keys].</param>
    /// <param name="scale">Of the scores.</param>
    public static (Tensor Q, Tensor K, Tensor V) AttendPartlyBackward(Tensor q, Tensor k, Tensor v, Tensor gradient, Tensor delta, Tensor normalizer, Tensor mask, double scale) =>
        Three(Call("attend_partly_backward", q, k, v, gradient, delta, normalizer, mask, scale));

    /// <summary>
    /// Causal attention inside documents by libtorch's flash kernel for CUDA (Dao, 2023); bf16 or fp16. Query heads may be a multiple of key heads.
    /// </summary>
    /// <param name="q">[tokens, heads, size], values of a head one after the other.</param>
    /// <param name="k">[tokens, key heads, size].</param>
    /// <param name="v">[tokens, key heads, size].</param>
    /// <param name="borders">Where documents begin, and where the last ends, [documents + 1], int32.</param>
    /// <param name="longest">Tokens of the longest document.</param>
    /// <param name="left">Keys before itself that a query sees at most; -1 for all.</param>
    /// <param name="scale">Of the scores.</param>
    /// <returns>[tokens, heads, size]; the logarithm of the sum of exponentials, [heads, tokens], fp32; and two that the backward pass is to be given again.</returns>
    public static (Tensor Result, Tensor Normalizer, Tensor Random, Tensor Unused) Flash(Tensor q, Tensor k, Tensor v, Tensor borders, int longest, int left, double scale) =>
        Call("flash", q, k, v, borders, longest, left, scale) is ValueTuple<Tensor, Tensor, Tensor, Tensor> four ? four : throw new InvalidOperationException("The script gave no four tensors.");

    /// <summary>Gradients of <see cref="Flash"/> of q, k, v, in their shapes and types.</summary>
    public static (Tensor Q, Tensor K, Tensor V) FlashBackward(Tensor gradient, Tensor q, Tensor k, Tensor v, Tensor result, Tensor normalizer, Tensor borders, int longest, Tensor random, Tensor unused, int left, double scale) =>
        Three(Call("flash_backward", gradient, q, k, v, result, normalizer, borders, longest, random, unused, left, scale));

    /// <summary>silu(gate) * up of [tokens, 2 * inner], gate first.</summary>
    public static Tensor SwiGlu(Tensor gateUp) => (Tensor)Call("swiglu", gateUp)!;

    /// <summary>Gradient of <see cref="SwiGlu"/>, [tokens, 2 * inner].</summary>
    public static Tensor SwiGluBackward(Tensor gradient, Tensor gateUp) => (Tensor)Call("swiglu_backward", gradient, gateUp)!;

    /// <summary>
    /// One fused AdamW update in place; all tensors fp32. The gradient is divided by <paramref name="gradientScale"/> (a scalar
    /// tensor), <paramref name="step"/> (a scalar tensor) counts from 1 and is not changed. The script takes lists: one that makes
    /// them of single tensors is optimised away whole, its writes being to nobody's list.
    /// </summary>
    public static void AdamW(Tensor weight, Tensor gradient, Tensor firstMoment, Tensor secondMoment, Tensor step, Tensor gradientScale, double learningRate, double beta1, double beta2, double weightDecay, double epsilon) =>
        Call("adamw", new[] { weight }, new[] { gradient }, new[] { firstMoment }, new[] { secondMoment }, new[] { step }, gradientScale, learningRate, beta1, beta2, weightDecay, epsilon);

    /// <summary>The scalars of a call are held until it is over: see <see cref="HeldScalars"/>. Between their making and the library's reading lies the marshalling of the whole call.</summary>
    private static object? Call(string script, params object[] arguments)
    {
        var held = new List<TorchSharp.Scalar>();
        for (int index = 0; index < arguments.Length; index++)
        {
            if (arguments[index] is double number)
            {
                TorchSharp.Scalar scalar = number;
                held.Add(scalar);
                arguments[index] = scalar;
            }
        }
        try
        {
            return Unit.invoke(script, arguments);
        }
        finally
        {
            held.ForEach(scalar => scalar.Dispose());
            GC.KeepAlive(arguments);
        }
    }

    private static (Tensor, Tensor, Tensor) Three(object? result) =>
        result is ValueTuple<Tensor, Tensor, Tensor> three ? three : throw new InvalidOperationException("The script gave no three tensors.");

    private static (Tensor, Tensor) Two(object? result) =>
        result is ValueTuple<Tensor, Tensor> two ? two : throw new InvalidOperationException("The script gave no two tensors.");
}
