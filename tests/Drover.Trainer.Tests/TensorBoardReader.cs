using System.Buffers.Binary;
using Google.Protobuf;

namespace Drover.Trainer.Tests;

/// <summary>Reads scalars of an event file by the definitions, bit by bit where the writer uses an instruction.</summary>
internal static class TensorBoardReader
{
    public static List<(long Step, string Tag, float Value)> Read(ReadOnlySpan<byte> file) => ReadAll(file).Scalars;

    /// <summary>Texts, as the plugin of that name finds them.</summary>
    public static List<(long Step, string Tag, string Text)> ReadTexts(ReadOnlySpan<byte> file) => ReadAll(file).Texts;

    private static (List<(long Step, string Tag, float Value)> Scalars, List<(long Step, string Tag, string Text)> Texts) ReadAll(ReadOnlySpan<byte> file)
    {
        var scalars = new List<(long, string, float)>();
        var texts = new List<(long, string, string)>();
        while (file.Length > 0)
        {
            int length = checked((int)BinaryPrimitives.ReadUInt64LittleEndian(file));
            Assert.Equal(MaskedCrc(file[..8]), BinaryPrimitives.ReadUInt32LittleEndian(file[8..]));
            ReadOnlySpan<byte> data = file.Slice(12, length);
            Assert.Equal(MaskedCrc(data), BinaryPrimitives.ReadUInt32LittleEndian(file[(12 + length)..]));
            ReadEvent(data.ToArray(), scalars, texts);
            file = file[(16 + length)..];
        }

        return (scalars, texts);
    }

    private static void ReadEvent(byte[] data, List<(long Step, string Tag, float Value)> scalars, List<(long Step, string Tag, string Text)> texts)
    {
        var input = new CodedInputStream(data);
        long step = 0;
        for (uint tag; (tag = input.ReadTag()) != 0;)
        {
            if (WireFormat.GetTagFieldNumber(tag) == 2)
                step = input.ReadInt64();
            else if (WireFormat.GetTagFieldNumber(tag) == 5)
                ReadSummary(input.ReadBytes(), step, scalars, texts);
            else
                input.SkipLastField();
        }
    }

    private static void ReadSummary(ByteString summary, long step, List<(long Step, string Tag, float Value)> scalars, List<(long Step, string Tag, string Text)> texts)
    {
        CodedInputStream values = summary.CreateCodedInput();
        while (values.ReadTag() != 0)
        {
            CodedInputStream value = values.ReadBytes().CreateCodedInput();
            value.ReadTag();
            string name = value.ReadString();
            if (WireFormat.GetTagFieldNumber(value.ReadTag()) == 2)
                scalars.Add((step, name, value.ReadFloat()));
            else
                texts.Add((step, name, ReadText(value)));
        }
    }

    // After the tag of the tensor: a string of one value, and metadata that names the plugin.
    private static string ReadText(CodedInputStream value)
    {
        CodedInputStream tensor = value.ReadBytes().CreateCodedInput();
        Assert.Equal((1, 7), (WireFormat.GetTagFieldNumber(tensor.ReadTag()), tensor.ReadInt32()));
        Assert.Equal(2, WireFormat.GetTagFieldNumber(tensor.ReadTag()));
        Assert.Equal([0x12, 2, 8, 1], tensor.ReadBytes().ToByteArray());
        Assert.Equal(8, WireFormat.GetTagFieldNumber(tensor.ReadTag()));
        string text = tensor.ReadString();
        Assert.Equal(9, WireFormat.GetTagFieldNumber(value.ReadTag()));
        Assert.Equal([0x0a, 6, 0x0a, 4, .. "text"u8], value.ReadBytes().ToByteArray());
        return text;
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
