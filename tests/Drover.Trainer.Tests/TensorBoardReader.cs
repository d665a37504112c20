using System.Buffers.Binary;
using Google.Protobuf;

namespace Drover.Trainer.Tests;

/// <summary>Reads scalars of an event file by the definitions, bit by bit where the writer uses an instruction.</summary>
internal static class TensorBoardReader
{
    public static List<(long Step, string Tag, float Value)> Read(ReadOnlySpan<byte> file)
    {
        var scalars = new List<(long, string, float)>();
        while (file.Length > 0)
        {
            int length = checked((int)BinaryPrimitives.ReadUInt64LittleEndian(file));
            Assert.Equal(MaskedCrc(file[..8]), BinaryPrimitives.ReadUInt32LittleEndian(file[8..]));
            ReadOnlySpan<byte> data = file.Slice(12, length);
            Assert.Equal(MaskedCrc(data), BinaryPrimitives.ReadUInt32LittleEndian(file[(12 + length)..]));
            ReadEvent(data.ToArray(), scalars);
            file = file[(16 + length)..];
        }

        return scalars;
    }

    private static void ReadEvent(byte[] data, List<(long Step, string Tag, float Value)> scalars)
    {
        var input = new CodedInputStream(data);
        long step = 0;
        for (uint tag; (tag = input.ReadTag()) != 0;)
        {
            if (WireFormat.GetTagFieldNumber(tag) == 2)
                step = input.ReadInt64();
            else if (WireFormat.GetTagFieldNumber(tag) == 5)
                ReadSummary(input.ReadBytes(), step, scalars);
            else
                input.SkipLastField();
        }
    }

    private static void ReadSummary(ByteString summary, long step, List<(long Step, string Tag, float Value)> scalars)
    {
        CodedInputStream values = summary.CreateCodedInput();
        while (values.ReadTag() != 0)
        {
            CodedInputStream value = values.ReadBytes().CreateCodedInput();
            value.ReadTag();
            string name = value.ReadString();
            // Else a text.
            if (WireFormat.GetTagFieldNumber(value.ReadTag()) == 2)
                scalars.Add((step, name, value.ReadFloat()));
        }
    }

    private static uint MaskedCrc(ReadOnlySpan<byte> data)
    {
        uint crc = uint.MaxValue;
        foreach (byte b in data)
        {
            crc ^= b;
            for (int bit = 0; bit < 8; bit++)
                crc = (crc >> 1) ^ ((crc & 1) * 0x82f63b78);
        }

        crc = ~crc;
        return unchecked(((crc >> 15) | (crc << 17)) + 0xa282ead8);
    }
}
