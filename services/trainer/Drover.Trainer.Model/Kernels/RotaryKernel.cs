using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using static TorchSharp.torch;

namespace Drover.Trainer.Model.Kernels;

/// <summary>
/// The rotary embedding between rows of tokens, as the projections make them, and heads, as attention takes them: turning and moving in one pass
/// on CPUs. <see cref="Rotary"/>.
/// </summary>
internal static unsafe class RotaryKernel
{
    /// <summary>Whether it takes tokens [tokens, heads, size] (to heads) or [heads, tokens, size] (from them), with values of a head one after the other.</summary>
    public static bool Takes(Tensor heads) => RowKernel.Takes(heads) && heads.shape[2] % (2 * RowKernel.Lanes) == 0 && heads.stride()[2] == 1;

    /// <summary>[heads, tokens, size] from [tokens, heads, size]; without tables nothing is turned.</summary>
    public static Tensor ToHeads(Tensor tokens, Tensor? cos, Tensor? sin)
    {
        Tensor result = empty([tokens.shape[1], tokens.shape[0], tokens.shape[2]], tokens.dtype, tokens.device);
        Tensor across = result.transpose(0, 1);
        if (tokens.dtype == ScalarType.BFloat16)
            Turn<Bf16, Bf16, Bf16>(tokens, across, cos, sin);
        else
            Turn<Fp32, Fp32, Fp32>(tokens, across, cos, sin);
        return result;
    }

    /// <summary>Fills [tokens, heads, size] from [heads, tokens, size], which may be fp32 whatever the type of the others.</summary>
    public static void FromHeads(Tensor heads, Tensor tokens, Tensor? cos, Tensor? sin)
    {
        Tensor across = heads.transpose(0, 1);
        if (tokens.dtype == ScalarType.Float32)
            Turn<Fp32, Fp32, Fp32>(across, tokens, cos, sin);
        else if (heads.dtype == ScalarType.Float32)
            Turn<Fp32, Bf16, Bf16>(across, tokens, cos, sin);
        else
            Turn<Bf16, Bf16, Bf16>(across, tokens, cos, sin);
    }

    // Both [tokens, heads, size] by strides; tables [tokens, size].
    private static void Turn<TFrom, TTable, TTo>(Tensor source, Tensor target, Tensor? cosines, Tensor? sines)
        where TFrom : unmanaged, IElement<TFrom>
        where TTable : unmanaged, IElement<TTable>
        where TTo : unmanaged, IElement<TTo>
    {
        (long tokens, long heads, long size) = (source.shape[0], source.shape[1], source.shape[2]);
        long[] fromStride = source.stride(), toStride = target.stride();
        TFrom* from = (TFrom*)TensorMemory.AddressOf(source);
        TTo* to = (TTo*)TensorMemory.AddressOf(target);
        TTable* cos = cosines is null ? null : (TTable*)TensorMemory.AddressOf(cosines), sin = sines is null ? null : (TTable*)TensorMemory.AddressOf(sines);
        RowKernel.ForParts(tokens, RowKernel.PartsOf(tokens, tokens * heads * size), (_, first, count) =>
        {
            for (long token = first; token < first + count; token++)
            {
                for (long head = 0; head < heads; head++)
                {
                    TFrom* x = from + (token * fromStride[0]) + (head * fromStride[1]);
                    TTo* y = to + (token * toStride[0]) + (head * toStride[1]);
                    if (cos is null)
                        Move(x, y, size);
                    else
                        TurnHead(x, y, cos + (token * size), sin + (token * size), size / 2);
                }
            }
        });
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Move<TFrom, TTo>(TFrom* x, TTo* y, long size)
        where TFrom : unmanaged, IElement<TFrom>
        where TTo : unmanaged, IElement<TTo>
    {
        for (long i = 0; i < size; i += RowKernel.Lanes)
            TTo.Store(y + i, TFrom.Load(x + i));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void TurnHead<TFrom, TTable, TTo>(TFrom* x, TTo* y, TTable* cos, TTable* sin, long half)
        where TFrom : unmanaged, IElement<TFrom>
        where TTable : unmanaged, IElement<TTable>
        where TTo : unmanaged, IElement<TTo>
    {
        for (long i = 0; i < half; i += RowKernel.Lanes)
        {
            Vector512<float> a = TFrom.Load(x + i), b = TFrom.Load(x + half + i);
            TTo.Store(y + i, (a * TTable.Load(cos + i)) - (b * TTable.Load(sin + i)));
            TTo.Store(y + half + i, (b * TTable.Load(cos + half + i)) + (a * TTable.Load(sin + half + i)));
        }
    }
}
