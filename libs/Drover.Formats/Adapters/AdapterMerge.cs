using System.Numerics;
using System.Runtime.InteropServices;
using Drover.Formats.Checkpoints;

namespace Drover.Formats.Adapters;

/// <summary>Reads a box of a tensor, row-major: name, shape of the whole tensor, box, target.</summary>
/// <param name="name">Of the tensor.</param>
/// <param name="shape">Of the whole tensor.</param>
/// <param name="box">Which part.</param>
/// <param name="target">As many values as the box has.</param>
/// <param name="cancellation">Gives up.</param>
public delegate Task TensorRead(string name, long[] shape, TensorBox box, Memory<float> target, CancellationToken cancellation);

/// <summary>
/// Weights of a model with an adapter merged into them, box by box, in fp32: W + scale B A; with DoRA each row of that brought to its
/// trained length; trained rows in place of the model's.
/// </summary>
/// <param name="lora">What was trained.</param>
/// <param name="model">Reads weights of the model.</param>
/// <param name="adapter">Reads what the adapter adds.</param>
public sealed class AdapterMerge(LoraSpec lora, TensorRead model, TensorRead adapter)
{
    /// <summary>Reads a box of a merged weight.</summary>
    public async Task ReadAsync(string name, long[] shape, TensorBox box, Memory<float> target, CancellationToken cancellation)
    {
        if (lora.IsTarget(name))
        {
            await ReadMergedAsync(name, shape, box, target, cancellation).ConfigureAwait(false);
            return;
        }

        await model(name, shape, box, target, cancellation).ConfigureAwait(false);
        if (lora.HasTokenRows(name))
            await LayRowsAsync(name, shape, box, target, cancellation).ConfigureAwait(false);
    }

    private async Task ReadMergedAsync(string name, long[] shape, TensorBox box, Memory<float> target, CancellationToken cancellation)
    {
        // The length of a row is that of all its columns.
        TensorBox wide = lora.Dora ? new TensorBox([box.Offset[0], 0], [box.Shape[0], shape[1]]) : box;
        Memory<float> merged = wide.ElementCount == box.ElementCount ? target : new float[wide.ElementCount];
        await model(name, shape, wide, merged, cancellation).ConfigureAwait(false);
        int rows = (int)wide.Shape[0], columns = (int)wide.Shape[1], rank = lora.Rank;
        float[] a = new float[rank * columns], b = new float[rows * rank], lengths = new float[rows];
        await adapter(AdapterTensors.NameOfA(name), [rank, shape[1]], new TensorBox([0, wide.Offset[1]], [rank, columns]), a, cancellation).ConfigureAwait(false);
        await adapter(AdapterTensors.NameOfB(name), [shape[0], rank], new TensorBox([wide.Offset[0], 0], [rows, rank]), b, cancellation).ConfigureAwait(false);
        if (lora.Dora)
            await adapter(AdapterTensors.NameOfMagnitude(name), [shape[0]], new TensorBox([wide.Offset[0]], [rows]), lengths, cancellation).ConfigureAwait(false);
        Parallel.For(0, rows, new ParallelOptions { CancellationToken = cancellation }, row =>
        {
            Span<float> values = merged.Span.Slice(row * columns, columns);
            for (int k = 0; k < rank; k++)
                AddScaled(values, a.AsSpan(k * columns, columns), (float)lora.Scale * b[(row * rank) + k]);
            if (lora.Dora)
                Stretch(values, lengths[row]);
        });
        if (merged.Equals(target))
            return;
        for (int row = 0; row < rows; row++)
            merged.Slice((row * columns) + (int)box.Offset[1], (int)box.Shape[1]).CopyTo(target[(row * (int)box.Shape[1])..]);
    }

    private async Task LayRowsAsync(string name, long[] shape, TensorBox box, Memory<float> target, CancellationToken cancellation)
    {
        long count = shape[0] - lora.TokenRowsFrom;
        if (box.Intersect(new TensorBox([lora.TokenRowsFrom, 0], [count, shape[1]])) is not { } part)
            return;
        // Whole rows of the box: they follow each other at its end.
        var rows = new TensorBox([part.Offset[0] - lora.TokenRowsFrom, part.Offset[1]], part.Shape);
        Memory<float> last = target[(int)((part.Offset[0] - box.Offset[0]) * box.Shape[1])..];
        await adapter(AdapterTensors.NameOfRows(name), [count, shape[1]], rows, last[..(int)rows.ElementCount], cancellation).ConfigureAwait(false);
    }

    private static void AddScaled(Span<float> sum, ReadOnlySpan<float> values, float factor)
    {
        Span<Vector<float>> sums = MemoryMarshal.Cast<float, Vector<float>>(sum);
        ReadOnlySpan<Vector<float>> vectors = MemoryMarshal.Cast<float, Vector<float>>(values);
        for (int i = 0; i < sums.Length; i++)
            sums[i] += vectors[i] * factor;
        for (int i = sums.Length * Vector<float>.Count; i < sum.Length; i++)
            sum[i] += values[i] * factor;
    }

    private static void Stretch(Span<float> row, float length)
    {
        double squares = 0;
        foreach (float value in row)
            squares += (double)value * value;
        float factor = (float)(length / Math.Sqrt(Math.Max(squares, 1e-30)));
        foreach (ref float value in row)
            value *= factor;
    }
}
