using System.Numerics;
using Drover.Trainer.Model;
using TorchSharp;
using static TorchSharp.torch;

namespace Drover.Trainer.Parallelism;

/// <summary>
/// Values in 8 bits, in blocks that share a scale: a code says which of 256 fixed numbers of [-1, 1] (or [0, 1]) is nearest to the value divided by the
/// scale. The numbers lie closer to each other near 0: the dynamic tree of Dettmers et al., "8-bit Optimizers via Block-wise
/// Quantization" (2022). The scale is the value of the block that is largest in magnitude, with its sign (there, its magnitude): it is one of
/// the 256 times itself, so that values that were quantized once do not change when they are quantized again. In C#, since libtorch's search among
/// boundaries takes ten times as long (benchmarks/results).
/// </summary>
internal sealed class BlockQuantization
{
    private const int ExponentBits = 7;

    // Upper bits of a float: sign, exponent, seven bits of the mantissa. The numbers lie so far apart that at most one boundary between two of them falls
    // among the floats that share those bits.
    private const int Buckets = 1 << 16;
    private readonly float[] _numbers;
    private readonly float[] _midpoints;
    private readonly byte[] _codeOfLeast = new byte[Buckets];

    private BlockQuantization(bool isSigned)
    {
        _numbers = NumbersOf(isSigned);
        // Nothing lies beyond the last.
        _midpoints = [.. _numbers.Skip(1).Zip(_numbers, (a, b) => (a + b) / 2), float.PositiveInfinity];
        for (int bucket = 0; bucket < Buckets; bucket++)
        {
            bool isNegative = bucket >= Buckets / 2;
            float least = BitConverter.Int32BitsToSingle((bucket << 16) | (isNegative ? 0xFFFF : 0));
            int code = Array.FindIndex(_midpoints, m => least <= m);
            _codeOfLeast[bucket] = (byte)Math.Max(code, 0);
        }
    }

    /// <summary>Up to which value each of the numbers is the nearest; nothing lies beyond the last.</summary>
    internal float[] Midpoints => _midpoints;

    /// <summary>For values of either sign.</summary>
    public static BlockQuantization Signed { get; } = new(isSigned: true);

    /// <summary>For values that are not negative.</summary>
    public static BlockQuantization Unsigned { get; } = new(isSigned: false);

    /// <summary>Fills codes, one byte a value, and scales, fp32, one a block, from flat fp32 values of whole blocks; all contiguous, on one device.</summary>
    public void Quantize(Tensor values, Tensor codes, Tensor scales)
    {
        if (values.device_type == DeviceType.CPU)
            Over(values, codes, scales, QuantizeBlock);
        else
            BlockQuantizationScript.Quantize(values, codes, scales, _midpoints);
    }

    /// <summary>Fills the values of <see cref="Quantize"/>.</summary>
    public void Dequantize(Tensor codes, Tensor scales, Tensor values)
    {
        if (values.device_type == DeviceType.CPU)
            Over(values, codes, scales, DequantizeBlock);
        else
            BlockQuantizationScript.Dequantize(codes, scales, values, _numbers);
    }

    /// <summary>
    /// The 256 numbers, rising. For each power of ten from 1e-6 to 1 the middles of equal stretches of a tenth of it to it, twice as many for each power (of
    /// either sign where there are signs); and 0 and 1.
    /// </summary>
    public static float[] NumbersOf(bool isSigned)
    {
        var numbers = new List<double> { 0, 1 };
        for (int i = 0; i < ExponentBits; i++)
        {
            int count = isSigned ? 1 << i : 2 << i;
            for (int k = 0; k < count; k++)
            {
                double number = Math.Pow(10, i - ExponentBits + 1) * (0.1 + (0.9 * (k + 0.5) / count));
                numbers.Add(number);
                if (isSigned)
                    numbers.Add(-number);
            }
        }

        return [.. numbers.Order().Select(n => (float)n)];
    }

    private delegate void BlockWork(Span<float> values, Span<byte> codes, ref float scale);

    // Blocks do not depend on each other: the result is the same on any number of threads.
    private static unsafe void Over(Tensor values, Tensor codes, Tensor scales, BlockWork work)
    {
        nint value = TensorMemory.AddressOf(values), code = TensorMemory.AddressOf(codes), scale = TensorMemory.AddressOf(scales);
        long blocks = values.numel() / MomentBlocks.Size;
        int parts = (int)Math.Min(get_num_threads(), Math.Max(1, blocks / 64));
        void Part(int part)
        {
            for (long i = blocks * part / parts; i < blocks * (part + 1) / parts; i++)
                work(new Span<float>((float*)value + (i * MomentBlocks.Size), MomentBlocks.Size), new Span<byte>((byte*)code + (i * MomentBlocks.Size), MomentBlocks.Size), ref ((float*)scale)[i]);
        }

        if (parts == 1)
            Part(0);
        else
            Parallel.For(0, parts, Part);
    }

    private void QuantizeBlock(Span<float> values, Span<byte> codes, ref float scale)
    {
        scale = LargestOf(values);
        ReadOnlySpan<float> midpoints = _midpoints;
        ReadOnlySpan<byte> codeOfLeast = _codeOfLeast;
        float divisor = scale == 0 ? 1 : scale;
        for (int i = 0; i < values.Length; i++)
        {
            float x = values[i] / divisor;
            int code = codeOfLeast[BitConverter.SingleToInt32Bits(x) >>> 16];
            codes[i] = (byte)(x > midpoints[code] ? code + 1 : code);
        }
    }

    private void DequantizeBlock(Span<float> values, Span<byte> codes, ref float scale)
    {
        ReadOnlySpan<float> numbers = _numbers;
        for (int i = 0; i < values.Length; i++)
            values[i] = numbers[codes[i]] * scale;
    }

    // With its sign; of two of the same magnitude the positive one.
    private static float LargestOf(Span<float> values)
    {
        Vector<float> most = new(values), least = most;
        for (int i = Vector<float>.Count; i < values.Length; i += Vector<float>.Count)
        {
            var next = new Vector<float>(values[i..]);
            (most, least) = (Vector.Max(most, next), Vector.Min(least, next));
        }

        float largest = most[0], smallest = least[0];
        for (int i = 1; i < Vector<float>.Count; i++)
            (largest, smallest) = (Math.Max(largest, most[i]), Math.Min(smallest, least[i]));
        return largest >= -smallest ? largest : smallest;
    }
}
