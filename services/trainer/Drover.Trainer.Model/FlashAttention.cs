using TorchSharp;
using static TorchSharp.torch;

namespace Drover.Trainer.Model;

/// <summary>
/// Attention by libtorch's flash kernel for GPUs of compute capability 8.0 or more: it is told where documents begin, and so needs no mask, keeps
/// nothing quadratic, and takes grouped heads as they are. bf16 and fp16 only; sums are fp32.
/// </summary>
/// <remarks>Not run on a GPU yet: its scripts are compiled and their schema is tested.</remarks>
public sealed class FlashAttention : IAttention
{
    private const int Alignment = 8;
    private const int LargestHead = 256;

    private FlashAttention()
    {
    }

    /// <summary>Attention for a device: this where the kernel takes the type and the size of heads, else <see cref="TiledAttention"/>.</summary>
    public static IAttention For(Device device, ScalarType type, long headSize) =>
        device.type == DeviceType.CUDA && type != ScalarType.Float32 && headSize % Alignment == 0 && headSize <= LargestHead ? new FlashAttention() : new TiledAttention();

    /// <inheritdoc />
    public (Tensor Output, IDisposable? Kept) Forward(Tensor q, Tensor k, Tensor v, VisibleKeys visible)
    {
        using var scope = NewDisposeScope();
        (Tensor result, Tensor normalizer, Tensor random, Tensor unused) = AtenScripts.Flash(Turned(q), Turned(k), Turned(v), visible.DocumentBorders, visible.Longest, Left(visible), ScaleOf(q));
        return (Turned(result).MoveToOuterDisposeScope(), new Extra(normalizer, random, unused));
    }

    /// <inheritdoc />
    public (Tensor Q, Tensor K, Tensor V) Backward(Tensor gradient, Tensor q, Tensor k, Tensor v, Tensor output, IDisposable? kept, VisibleKeys visible)
    {
        using var scope = NewDisposeScope();
        var extra = (Extra)kept!;
        (Tensor dq, Tensor dk, Tensor dv) = AtenScripts.FlashBackward(
            Turned(gradient), Turned(q), Turned(k), Turned(v), Turned(output), extra.Normalizer, visible.DocumentBorders, visible.Longest, extra.Random, extra.Unused, Left(visible), ScaleOf(q));
        return (Turned(dq).MoveToOuterDisposeScope(), Turned(dk).MoveToOuterDisposeScope(), Turned(dv).MoveToOuterDisposeScope());
    }

    // [heads, tokens, size] to [tokens, heads, size] and back, without a copy: the kernel goes by strides.
    private static Tensor Turned(Tensor t) => t.transpose(0, 1);

    private static int Left(VisibleKeys visible) => visible.Window - 1 ?? -1;

    private static double ScaleOf(Tensor q) => 1 / Math.Sqrt(q.shape[2]);

    private sealed class Extra(Tensor normalizer, Tensor random, Tensor unused) : IDisposable
    {
        public Tensor Normalizer { get; } = normalizer.DetachFromDisposeScope();

        // Of dropout, which is not used.
        public Tensor Random { get; } = random.DetachFromDisposeScope();

        public Tensor Unused { get; } = unused.DetachFromDisposeScope();

        public void Dispose()
        {
            Normalizer.Dispose();
            Random.Dispose();
            Unused.Dispose();
        }
    }
}
