using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using Drover.Errors;
using Drover.Formats.Safetensors;

namespace Drover.Checkpoint.Exports;

/// <summary>Rounds fp32 to the type of an export: to nearest, ties to even, as PyTorch's casts do.</summary>
internal static class Rounding
{
    /// <summary>Writes <paramref name="values"/> as little-endian elements of a type.</summary>
    /// <param name="values">The weights.</param>
    /// <param name="type">"F32", "BF16" or "F16".</param>
    /// <param name="target">Element size times the number of values.</param>
    /// <param name="tensor">For messages.</param>
    /// <exception cref="DroverException">OutOfRange when a finite weight is too large for fp16.</exception>
    public static void Write(ReadOnlySpan<float> values, string type, Span<byte> target, string tensor)
    {
        switch (type)
        {
            case SafetensorsTypes.F32:
                MemoryMarshal.AsBytes(values).CopyTo(target);
                break;
            case SafetensorsTypes.BF16:
                WriteBFloat16(values, MemoryMarshal.Cast<byte, ushort>(target));
                break;
            default:
                for (int i = 0; i < values.Length; i++)
                {
                    Half half = (Half)values[i];
                    if (Half.IsInfinity(half) && float.IsFinite(values[i]))
                        throw new DroverException(FailureCode.OutOfRange, "FP16_OVERFLOW", $"A weight of '{tensor}' is {values[i]:G6}, too large for fp16. Export as bf16 or fp32.");
                    BinaryPrimitives.WriteHalfLittleEndian(target[(2 * i)..], half);
                }

                break;
        }
    }

    // Eight or sixteen at a time; a pair of vectors that holds a NaN is left to the scalar code.
    private static void WriteBFloat16(ReadOnlySpan<float> values, Span<ushort> target)
    {
        int i = 0, width = Vector<float>.Count;
        for (; i <= values.Length - (2 * width); i += 2 * width)
        {
            var low = new Vector<float>(values[i..]);
            var high = new Vector<float>(values[(i + width)..]);
            if (Vector.EqualsAll(low, low) && Vector.EqualsAll(high, high))
                Vector.Narrow(Round(low), Round(high)).CopyTo(target[i..]);
            else
                Round(values.Slice(i, 2 * width), target[i..]);
        }

        Round(values[i..], target[i..]);
    }

    private static void Round(ReadOnlySpan<float> values, Span<ushort> target)
    {
        for (int i = 0; i < values.Length; i++)
            target[i] = ToBFloat16(values[i]);
    }

    private static Vector<uint> Round(Vector<float> values)
    {
        Vector<uint> bits = Vector.AsVectorUInt32(values);
        return Vector.ShiftRightLogical(bits + new Vector<uint>(0x7FFF) + (Vector.ShiftRightLogical(bits, 16) & Vector<uint>.One), 16);
    }

    /// <summary>The upper half of an fp32, rounded.</summary>
    public static ushort ToBFloat16(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        if (float.IsNaN(value))
            return (ushort)((bits >> 16) | 0x40); // stays quiet; rounding could make it an infinity
        return (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }
}
