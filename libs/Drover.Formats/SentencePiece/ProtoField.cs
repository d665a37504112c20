using System.Buffers;
using System.Buffers.Binary;
using System.Text;

namespace Drover.Formats.SentencePiece;

/// <summary>
/// One field of a protobuf message as it is on the wire. A message is a list of them: what is not understood is written back
/// unchanged. Encoding: protobuf.dev/programming-guides/encoding.
/// </summary>
/// <param name="Number">Field number.</param>
/// <param name="Wire">0 varint, 1 eight bytes, 2 length-delimited, 5 four bytes.</param>
/// <param name="Value">The number, for wire types 0, 1 and 5.</param>
/// <param name="Bytes">The bytes, for wire type 2.</param>
internal readonly record struct ProtoField(int Number, int Wire, ulong Value, ReadOnlyMemory<byte> Bytes)
{
    public float AsFloat => BitConverter.UInt32BitsToSingle((uint)Value);

    public bool AsBool => Value != 0;

    public string AsText => Encoding.UTF8.GetString(Bytes.Span);

    public static ProtoField Number32(int number, ulong value) => new(number, 0, value, default);

    public static ProtoField Float(int number, float value) => new(number, 5, BitConverter.SingleToUInt32Bits(value), default);

    public static ProtoField Text(int number, string value) => new(number, 2, 0, Encoding.UTF8.GetBytes(value));

    public static ProtoField Message(int number, IReadOnlyList<ProtoField> fields) => new(number, 2, 0, Write(fields));

    /// <exception cref="FormatException">The bytes are not a protobuf message.</exception>
    public static List<ProtoField> Parse(ReadOnlyMemory<byte> message)
    {
        var fields = new List<ProtoField>();
        int at = 0;
        while (at < message.Length)
        {
            ulong tag = ReadVarint(message.Span, ref at);
            int number = (int)(tag >> 3);
            if (number == 0)
                throw new FormatException($"byte {at} starts no field");
            fields.Add((tag & 7) switch
            {
                0 => new ProtoField(number, 0, ReadVarint(message.Span, ref at), default),
                1 => new ProtoField(number, 1, BinaryPrimitives.ReadUInt64LittleEndian(Take(message, 8, ref at).Span), default),
                2 => new ProtoField(number, 2, 0, Take(message, ReadVarint(message.Span, ref at), ref at)),
                5 => new ProtoField(number, 5, BinaryPrimitives.ReadUInt32LittleEndian(Take(message, 4, ref at).Span), default),
                _ => throw new FormatException($"byte {at} has a wire type that is not in use"),
            });
        }

        return fields;
    }

    public static byte[] Write(IReadOnlyList<ProtoField> fields)
    {
        var buffer = new ArrayBufferWriter<byte>();
        foreach (ProtoField field in fields)
        {
            WriteVarint(buffer, ((ulong)field.Number << 3) | (uint)field.Wire);
            switch (field.Wire)
            {
                case 0:
                    WriteVarint(buffer, field.Value);
                    break;
                case 1:
                    BinaryPrimitives.WriteUInt64LittleEndian(buffer.GetSpan(8), field.Value);
                    buffer.Advance(8);
                    break;
                case 5:
                    BinaryPrimitives.WriteUInt32LittleEndian(buffer.GetSpan(4), (uint)field.Value);
                    buffer.Advance(4);
                    break;
                default:
                    WriteVarint(buffer, (ulong)field.Bytes.Length);
                    buffer.Write(field.Bytes.Span);
                    break;
            }
        }

        return buffer.WrittenSpan.ToArray();
    }

    private static ReadOnlyMemory<byte> Take(ReadOnlyMemory<byte> message, ulong length, ref int at)
    {
        if (length > (ulong)(message.Length - at))
            throw new FormatException($"a field at byte {at} is {length} bytes long and {message.Length - at} are left (truncated?)");
        ReadOnlyMemory<byte> bytes = message.Slice(at, (int)length);
        at += (int)length;
        return bytes;
    }

    private static ulong ReadVarint(ReadOnlySpan<byte> bytes, ref int at)
    {
        ulong value = 0;
        for (int shift = 0; shift < 64; shift += 7)
        {
            if (at >= bytes.Length)
                throw new FormatException("it ends within a number (truncated?)");
            byte b = bytes[at++];
            value |= (ulong)(b & 0x7F) << shift;
            if (b < 0x80)
                return value;
        }

        throw new FormatException($"the number before byte {at} does not end");
    }

    private static void WriteVarint(ArrayBufferWriter<byte> buffer, ulong value)
    {
        Span<byte> span = buffer.GetSpan(10);
        int n = 0;
        for (; value >= 0x80; value >>= 7)
            span[n++] = (byte)(value | 0x80);
        span[n++] = (byte)value;
        buffer.Advance(n);
    }
}
