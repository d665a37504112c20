using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using static TorchSharp.torch;

namespace Drover.Trainer.Model.Kernels;

/// <summary>RMSNorm of rows, and its gradients: <see cref="RmsNorm"/> on CPUs.</summary>
internal static unsafe class RmsNormKernel
{
    /// <summary>Whether it takes rows [rows, n].</summary>
    public static bool Takes(Tensor x, Tensor weight) => RowKernel.Takes(x) && x.dtype == weight.dtype && x.shape[1] % RowKernel.Lanes == 0;

    /// <summary>The result, and 1 / root mean square, [rows, 1], fp32.</summary>
    public static (Tensor Result, Tensor Rstd) Forward(Tensor x, Tensor weight, double epsilon) =>
        x.dtype == ScalarType.BFloat16 ? Forward<Bf16>(x.contiguous(), weight, epsilon) : Forward<Fp32>(x.contiguous(), weight, epsilon);

    /// <summary>Gradient of x, plus <paramref name="plus"/> where it is given, and of the weight, [n], fp32.</summary>
    public static (Tensor Input, Tensor Weight) Backward(Tensor gradient, Tensor x, Tensor rstd, Tensor weight, Tensor? plus) => x.dtype == ScalarType.BFloat16
        ? Backward<Bf16>(gradient.contiguous(), x.contiguous(), rstd, weight, plus?.contiguous())
        : Backward<Fp32>(gradient.contiguous(), x.contiguous(), rstd, weight, plus?.contiguous());

    private static (Tensor Result, Tensor Rstd) Forward<T>(Tensor x, Tensor weight, double epsilon)
        where T : unmanaged, IElement<T>
    {
        (long rows, long n) = (x.shape[0], x.shape[1]);
        Tensor result = empty_like(x), rstd = empty([rows, 1], ScalarType.Float32, x.device);
        T* from = (T*)TensorMemory.AddressOf(x), w = (T*)TensorMemory.AddressOf(weight), to = (T*)TensorMemory.AddressOf(result);
        float* root = (float*)TensorMemory.AddressOf(rstd);
        RowKernel.ForParts(rows, RowKernel.PartsOf(rows, rows * n), (_, first, count) =>
        {
            for (long row = first; row < first + count; row++)
                root[row] = ForwardRow(from + (row * n), w, to + (row * n), n, epsilon);
        });
        return (result, rstd);
    }

    // Its 1 / root mean square.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float ForwardRow<T>(T* x, T* weight, T* normed, long n, double epsilon)
        where T : unmanaged, IElement<T>
    {
        Vector512<float> squares = default;
        for (long i = 0; i < n; i += RowKernel.Lanes)
        {
            Vector512<float> v = T.Load(x + i);
            squares = Vector512.FusedMultiplyAdd(v, v, squares);
        }

        float scale = (float)(1 / Math.Sqrt((Vector512.Sum(squares) / n) + epsilon));
        for (long i = 0; i < n; i += RowKernel.Lanes)
            T.Store(normed + i, T.Load(x + i) * scale * T.Load(weight + i));
        return scale;
    }

    private static (Tensor Input, Tensor Weight) Backward<T>(Tensor gradient, Tensor x, Tensor rstd, Tensor weight, Tensor? plus)
        where T : unmanaged, IElement<T>
    {
        (long rows, long n) = (x.shape[0], x.shape[1]);
        int parts = RowKernel.PartsOf(rows, rows * n);
        // Of each part its own sum.
        Tensor input = empty_like(x), sums = zeros([parts, n], ScalarType.Float32, x.device);
        T* dy = (T*)TensorMemory.AddressOf(gradient), values = (T*)TensorMemory.AddressOf(x), w = (T*)TensorMemory.AddressOf(weight), dx = (T*)TensorMemory.AddressOf(input);
        T* more = plus is null ? null : (T*)TensorMemory.AddressOf(plus);
        float* root = (float*)TensorMemory.AddressOf(rstd), sum = (float*)TensorMemory.AddressOf(sums);
        RowKernel.ForParts(rows, parts, (part, first, count) =>
        {
            for (long row = first; row < first + count; row++)
                BackwardRow(dy + (row * n), values + (row * n), root[row], w, dx + (row * n), sum + (part * n), more is null ? null : more + (row * n), n);
        });
        return (input, sums.sum([0]));
    }

    // With r = rstd, g = dy * w: dx = r * (g - x * r * r * mean(g * x)), dw += dy * x * r.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void BackwardRow<T>(T* dy, T* x, float rstd, T* weight, T* dx, float* dw, T* plus, long n)
        where T : unmanaged, IElement<T>
    {
        Vector512<float> dots = default;
        for (long i = 0; i < n; i += RowKernel.Lanes)
        {
            Vector512<float> d = T.Load(dy + i), v = T.Load(x + i);
            dots = Vector512.FusedMultiplyAdd(d * T.Load(weight + i), v, dots);
            (Vector512.Load(dw + i) + (d * v * rstd)).Store(dw + i);
        }

        float mean = rstd * rstd * (Vector512.Sum(dots) / n);
        for (long i = 0; i < n; i += RowKernel.Lanes)
        {
            Vector512<float> result = rstd * ((T.Load(dy + i) * T.Load(weight + i)) - (T.Load(x + i) * mean));
            T.Store(dx + i, plus is null ? result : result + T.Load(plus + i));
        }
    }
}
