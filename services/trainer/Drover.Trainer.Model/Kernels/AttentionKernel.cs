using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using static TorchSharp.torch;

namespace Drover.Trainer.Model.Kernels;

/// <summary>What stands between the products of attention: softmax of masked scores, and its gradient, each in the place of what it is made from.</summary>
internal static unsafe class AttentionKernel
{
    /// <summary>Whether it takes queries, or scores, and their mask.</summary>
    public static bool Takes(Tensor queries, Tensor mask) => RowKernel.Takes(queries) && mask.dtype == queries.dtype && mask.stride()[1] == 1;

    /// <summary>Scores become softmax(scale * scores + mask).</summary>
    /// <param name="scores">[heads, queries, keys], contiguous.</param>
    /// <param name="mask">[queries, keys], keys one after the other.</param>
    /// <param name="scale">Of the scores.</param>
    public static void Softmax(Tensor scores, Tensor mask, double scale)
    {
        if (scores.dtype == ScalarType.BFloat16)
            Softmax<Bf16>(scores, mask, (float)scale);
        else
            Softmax<Fp32>(scores, mask, (float)scale);
    }

    /// <summary>Gradients of probabilities become those of what they are the softmax of: (d - sum(d * p)) * p. Both [heads, queries, keys], contiguous.</summary>
    public static void Backward(Tensor gradient, Tensor probabilities)
    {
        if (gradient.dtype == ScalarType.BFloat16)
            Backward<Bf16>(gradient, probabilities);
        else
            Backward<Fp32>(gradient, probabilities);
    }

    private static void Softmax<T>(Tensor scores, Tensor mask, float scale)
        where T : unmanaged, IElement<T>
    {
        (long queries, long keys, long stride) = (scores.shape[1], scores.shape[2], mask.stride()[0]);
        long rows = scores.shape[0] * queries;
        T* values = (T*)TensorMemory.AddressOf(scores), added = (T*)TensorMemory.AddressOf(mask);
        RowKernel.ForParts(rows, RowKernel.PartsOf(rows, rows * keys), (_, first, count) =>
        {
            for (long row = first; row < first + count; row++)
                SoftmaxRow(values + (row * keys), added + (row % queries * stride), keys, scale);
        });
    }

    private static void Backward<T>(Tensor gradient, Tensor probabilities)
        where T : unmanaged, IElement<T>
    {
        (long rows, long keys) = (gradient.shape[0] * gradient.shape[1], gradient.shape[2]);
        T* d = (T*)TensorMemory.AddressOf(gradient), p = (T*)TensorMemory.AddressOf(probabilities);
        RowKernel.ForParts(rows, RowKernel.PartsOf(rows, rows * keys), (_, first, count) =>
        {
            for (long row = first; row < first + count; row++)
                BackwardRow(d + (row * keys), p + (row * keys), keys);
        });
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void SoftmaxRow<T>(T* row, T* mask, long keys, float scale)
        where T : unmanaged, IElement<T>
    {
        long whole = keys / RowKernel.Lanes * RowKernel.Lanes;
        Vector512<float> most = Vector512.Create(float.MinValue), sums = default;
        for (long i = 0; i < whole; i += RowKernel.Lanes)
            most = Vector512.MaxNative(Vector512.FusedMultiplyAdd(T.Load(row + i), Vector512.Create(scale), T.Load(mask + i)), most);
        float largest = float.MinValue;
        for (int lane = 0; lane < RowKernel.Lanes; lane++)
            largest = Math.Max(largest, most[lane]);
        for (long i = whole; i < keys; i++)
            largest = Math.Max(largest, (scale * T.Read(row[i])) + T.Read(mask[i]));
        for (long i = 0; i < whole; i += RowKernel.Lanes)
            sums += Exponential.Of(Vector512.FusedMultiplyAdd(T.Load(row + i), Vector512.Create(scale), T.Load(mask + i)) - Vector512.Create(largest));
        float sum = Vector512.Sum(sums);
        for (long i = whole; i < keys; i++)
            sum += MathF.Exp((scale * T.Read(row[i])) + T.Read(mask[i]) - largest);
        float normalizer = largest + MathF.Log(sum);
        for (long i = 0; i < whole; i += RowKernel.Lanes)
            T.Store(row + i, Exponential.Of(Vector512.FusedMultiplyAdd(T.Load(row + i), Vector512.Create(scale), T.Load(mask + i)) - Vector512.Create(normalizer)));
        for (long i = whole; i < keys; i++)
            row[i] = T.Round(MathF.Exp((scale * T.Read(row[i])) + T.Read(mask[i]) - normalizer));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void BackwardRow<T>(T* d, T* p, long keys)
        where T : unmanaged, IElement<T>
    {
        long whole = keys / RowKernel.Lanes * RowKernel.Lanes;
        Vector512<float> dots = default;
        for (long i = 0; i < whole; i += RowKernel.Lanes)
            dots = Vector512.FusedMultiplyAdd(T.Load(d + i), T.Load(p + i), dots);
        float dot = Vector512.Sum(dots);
        for (long i = whole; i < keys; i++)
            dot += T.Read(d[i]) * T.Read(p[i]);
        for (long i = 0; i < whole; i += RowKernel.Lanes)
            T.Store(d + i, (T.Load(d + i) - Vector512.Create(dot)) * T.Load(p + i));
        for (long i = whole; i < keys; i++)
            d[i] = T.Round((T.Read(d[i]) - dot) * T.Read(p[i]));
    }
}
