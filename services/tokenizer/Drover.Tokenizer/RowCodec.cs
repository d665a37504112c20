using System.Buffers.Binary;
using System.Numerics;
using Drover.Errors;
using Drover.Formats.Safetensors;

namespace Drover.Tokenizer;

/// <summary>Rows of weights to fp32 and back, rounded to nearest even.</summary>
internal static class RowCodec
{
    public static void Check(string type, string tensor, string model)
    {
        if (type is not (SafetensorsTypes.F32 or SafetensorsTypes.F16 or SafetensorsTypes.BF16))
            throw new DroverException(FailureCode.FailedPrecondition, "UNSUPPORTED_DATA_TYPE", $"Tensor '{tensor}' of the model '{model}' is stored as {type}; embeddings can be resized in F32, F16 and BF16.");
    }

    /// <summary>Adds a stored row to sums.</summary>
    public static void Add(ReadOnlySpan<byte> row, string type, Span<float> sums)
    {
        for (int i = 0; i < sums.Length; i++)
        {
            sums[i] += type switch
            {
                SafetensorsTypes.F32 => BinaryPrimitives.ReadSingleLittleEndian(row[(4 * i)..]),
                SafetensorsTypes.F16 => (float)BinaryPrimitives.ReadHalfLittleEndian(row[(2 * i)..]),
                _ => BitConverter.UInt32BitsToSingle((uint)BinaryPrimitives.ReadUInt16LittleEndian(row[(2 * i)..]) << 16),
            };
        }
    }

    /// <summary>Adds values times a number.</summary>
    public static void AddScaled(ReadOnlySpan<float> values, float scale, Span<float> sums)
    {
        int i = 0;
        for (; i <= values.Length - Vector<float>.Count; i += Vector<float>.Count)
            Vector.FusedMultiplyAdd(new Vector<float>(values[i..]), new Vector<float>(scale), new Vector<float>(sums[i..])).CopyTo(sums[i..]);
        for (; i < values.Length; i++)
            sums[i] = MathF.FusedMultiplyAdd(values[i], scale, sums[i]);
    }

    /// <summary>Stores a row.</summary>
    public static void Write(ReadOnlySpan<float> values, string type, Span<byte> row)
    {
        for (int i = 0; i < values.Length; i++)
        {
            if (type == SafetensorsTypes.F32)
                BinaryPrimitives.WriteSingleLittleEndian(row[(4 * i)..], values[i]);
            else if (type == SafetensorsTypes.F16)
                BinaryPrimitives.WriteHalfLittleEndian(row[(2 * i)..], (Half)values[i]);
            else
                BinaryPrimitives.WriteUInt16LittleEndian(row[(2 * i)..], ToBFloat16(values[i]));
        }
    }

    private static ushort ToBFloat16(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        if (float.IsNaN(value))
            return (ushort)((bits >> 16) | 0x40); // rounding could turn a NaN into an infinity
        return (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }
}
