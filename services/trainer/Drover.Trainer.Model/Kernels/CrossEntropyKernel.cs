using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using static TorchSharp.torch;

namespace Drover.Trainer.Model.Kernels;

/// <summary>
/// Softmax, its normalizer and the gradient of the cross-entropy of rows of logits: a row is read while the processor's cache still has it, and its
/// gradient takes its place.
/// </summary>
internal static unsafe class CrossEntropyKernel
{
    /// <summary>Logarithm of the sum of exponentials of each row, [rows, 1], fp32. Given targets, the logits become their gradient: softmax less 1 at the target.</summary>
    /// <param name="logits">[rows, ids], contiguous.</param>
    /// <param name="targets">[rows, 1], int64, contiguous; null to leave the logits as they are.</param>
    public static Tensor Normalizer(Tensor logits, Tensor? targets)
    {
        Tensor result = empty([logits.shape[0], 1], ScalarType.Float32, logits.device);
        Run(logits, result, targets, null, isKnown: false);
        return result;
    }

    /// <summary>The logits become their gradient, given a normalizer over more ids than these.</summary>
    /// <param name="logits">[rows, ids], contiguous.</param>
    /// <param name="normalizer">[rows, 1], fp32.</param>
    /// <param name="targets">[rows, 1], int64.</param>
    /// <param name="isHere">1 where the target is among these ids, else 0, [rows, 1], fp32.</param>
    public static void Gradient(Tensor logits, Tensor normalizer, Tensor targets, Tensor isHere)
    {
        Run(logits, normalizer, targets, isHere, isKnown: true);
    }

    private static void Run(Tensor logits, Tensor normalizer, Tensor? targets, Tensor? isHere, bool isKnown)
    {
        if (logits.dtype == ScalarType.BFloat16)
            Run<Bf16>(logits, normalizer, targets, isHere, isKnown);
        else
            Run<Fp32>(logits, normalizer, targets, isHere, isKnown);
    }

    private static void Run<T>(Tensor logits, Tensor normalizer, Tensor? targets, Tensor? isHere, bool isKnown)
        where T : unmanaged, IElement<T>
    {
        (long rows, long ids) = (logits.shape[0], logits.shape[1]);
        T* values = (T*)TensorMemory.AddressOf(logits);
        float* norm = (float*)TensorMemory.AddressOf(normalizer);
        long* target = targets is null ? null : (long*)TensorMemory.AddressOf(targets);
        float* here = isHere is null ? null : (float*)TensorMemory.AddressOf(isHere);
        RowKernel.ForParts(rows, RowKernel.PartsOf(rows, rows * ids), (_, first, count) =>
        {
            for (long row = first; row < first + count; row++)
            {
                T* line = values + (row * ids);
                if (!isKnown)
                    norm[row] = NormalizerOf(line, ids);
                if (target is null)
                    continue;
                float own = Math.Min(MathF.Exp(T.Read(line[target[row]]) - norm[row]), 1) - (here is null ? 1 : here[row]);
                ToProbabilities(line, ids, norm[row]);
                line[target[row]] = T.Round(own);
            }
        });
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float NormalizerOf<T>(T* line, long ids)
        where T : unmanaged, IElement<T>
    {
        long whole = ids / RowKernel.Lanes * RowKernel.Lanes;
        Vector512<float> most = Vector512.Create(float.NegativeInfinity);
        for (long i = 0; i < whole; i += RowKernel.Lanes)
            most = Vector512.MaxNative(T.Load(line + i), most);
        float largest = float.NegativeInfinity;
        for (int lane = 0; lane < RowKernel.Lanes; lane++)
            largest = Math.Max(largest, most[lane]);
        for (long i = whole; i < ids; i++)
            largest = Math.Max(largest, T.Read(line[i]));
        Vector512<float> sums = default;
        for (long i = 0; i < whole; i += RowKernel.Lanes)
            sums += Exponential.Of(T.Load(line + i) - Vector512.Create(largest));
        float sum = Vector512.Sum(sums);
        for (long i = whole; i < ids; i++)
            sum += MathF.Exp(T.Read(line[i]) - largest);
        return largest + MathF.Log(sum);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ToProbabilities<T>(T* line, long ids, float normalizer)
        where T : unmanaged, IElement<T>
    {
        long whole = ids / RowKernel.Lanes * RowKernel.Lanes;
        for (long i = 0; i < whole; i += RowKernel.Lanes)
            T.Store(line + i, Exponential.Of(T.Load(line + i) - Vector512.Create(normalizer)));
        for (long i = whole; i < ids; i++)
            line[i] = T.Round(MathF.Exp(T.Read(line[i]) - normalizer));
    }
}
