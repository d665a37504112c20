using System.Buffers.Binary;
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
                for (int i = 0; i < values.Length; i++)
                    BinaryPrimitives.WriteUInt16LittleEndian(target[(2 * i)..], ToBFloat16(values[i]));
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

    /// <summary>The upper half of an fp32, rounded.</summary>
    public static ushort ToBFloat16(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        if (float.IsNaN(value))
            return (ushort)((bits >> 16) | 0x40); // stays quiet; rounding could make it an infinity
        return (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }
}
