using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using static TorchSharp.torch;

namespace Drover.Trainer.Model.Kernels;

/// <summary>silu(gate) * up of rows that hold gate first, and its gradient: <see cref="SwiGlu"/> on CPUs.</summary>
internal static unsafe class SwiGluKernel
{
    /// <summary>Whether it takes rows [tokens, 2 * inner].</summary>
    public static bool Takes(Tensor gateUp) => RowKernel.Takes(gateUp) && gateUp.shape[1] % (2 * RowKernel.Lanes) == 0 && gateUp.is_contiguous();

    /// <summary>[tokens, inner].</summary>
    public static Tensor Forward(Tensor gateUp) => gateUp.dtype == ScalarType.BFloat16 ? Forward<Bf16>(gateUp) : Forward<Fp32>(gateUp);

    /// <summary>[tokens, 2 * inner]; where <paramref name="gated"/> is given, [tokens, inner], contiguous, it is filled with the result of the forward pass.</summary>
    public static Tensor Backward(Tensor gradient, Tensor gateUp, Tensor? gated) => gateUp.dtype == ScalarType.BFloat16
        ? Backward<Bf16>(gradient.contiguous(), gateUp, gated)
        : Backward<Fp32>(gradient.contiguous(), gateUp, gated);

    private static Tensor Forward<T>(Tensor gateUp)
        where T : unmanaged, IElement<T>
    {
        (long rows, long inner) = (gateUp.shape[0], gateUp.shape[1] / 2);
        Tensor result = empty([rows, inner], gateUp.dtype, gateUp.device);
        T* from = (T*)TensorMemory.AddressOf(gateUp), to = (T*)TensorMemory.AddressOf(result);
        RowKernel.ForParts(rows, RowKernel.PartsOf(rows, rows * inner), (_, first, count) =>
        {
            for (long row = first; row < first + count; row++)
                ForwardRow(from + (row * 2 * inner), to + (row * inner), inner);
        });
        return result;
    }

    private static Tensor Backward<T>(Tensor gradient, Tensor gateUp, Tensor? gated)
        where T : unmanaged, IElement<T>
    {
        (long rows, long inner) = (gateUp.shape[0], gateUp.shape[1] / 2);
        Tensor result = empty_like(gateUp);
        T* dy = (T*)TensorMemory.AddressOf(gradient), from = (T*)TensorMemory.AddressOf(gateUp), to = (T*)TensorMemory.AddressOf(result);
        T* again = gated is null ? null : (T*)TensorMemory.AddressOf(gated);
        RowKernel.ForParts(rows, RowKernel.PartsOf(rows, rows * inner), (_, first, count) =>
        {
            for (long row = first; row < first + count; row++)
                BackwardRow(dy + (row * inner), from + (row * 2 * inner), to + (row * 2 * inner), again is null ? null : again + (row * inner), inner);
        });
        return result;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ForwardRow<T>(T* gate, T* gated, long inner)
        where T : unmanaged, IElement<T>
    {
        T* up = gate + inner;
        for (long i = 0; i < inner; i += RowKernel.Lanes)
        {
            Vector512<float> g = T.Load(gate + i);
            T.Store(gated + i, g * Sigmoid(g) * T.Load(up + i));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void BackwardRow<T>(T* dy, T* gate, T* dgate, T* gated, long inner)
        where T : unmanaged, IElement<T>
    {
        T* up = gate + inner, dup = dgate + inner;
        for (long i = 0; i < inner; i += RowKernel.Lanes)
        {
            Vector512<float> g = T.Load(gate + i), u = T.Load(up + i), d = T.Load(dy + i), s = Sigmoid(g);
            T.Store(dgate + i, d * u * s * (Vector512<float>.One + (g * (Vector512<float>.One - s))));
            T.Store(dup + i, d * g * s);
            if (gated is not null)
                T.Store(gated + i, g * s * u);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Sigmoid(Vector512<float> x) => Vector512<float>.One / (Vector512<float>.One + Exponential.Of(-x));
}
