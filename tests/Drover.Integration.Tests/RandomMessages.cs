using System.Collections;
using Google.Protobuf;
using Google.Protobuf.Reflection;

namespace Drover.Integration.Tests;

/// <summary>Messages of any type with hostile, odd and plain values in random fields.</summary>
internal sealed class RandomMessages(Random random)
{
    private const int Depth = 4;

    private static readonly string[] Texts =
    [
        "", "x", "jobs/none", "jobs/../../../etc/passwd", "../../etc/passwd", "/etc/passwd", "models/..", "runs/a/checkpoints/step-00000001", "inputs/x.jsonl", "tokenizers/t", "${steps.a.b}", "${", "\0", "a\nb\r\nc",
        "名前", "\ud83d\ude00", "'; DROP TABLE jobs; --", "http://169.254.169.254/latest", "-1", "NaN", new string('a', 5000), "a//b", "a/./b", "%2e%2e%2f",
    ];

    /// <summary>A message of this type.</summary>
    public IMessage Of(MessageDescriptor type, int depth = 0)
    {
        IMessage message = type.Parser.ParseFrom(ByteString.Empty);
        foreach (FieldDescriptor field in type.Fields.InDeclarationOrder())
        {
            if (random.Next(2) == 0)
                continue;
            if (field.IsMap)
                Fill((IDictionary)field.Accessor.GetValue(message), field, depth);
            else if (field.IsRepeated)
                Fill((IList)field.Accessor.GetValue(message), field, depth);
            else if (Value(field, depth) is { } value)
                field.Accessor.SetValue(message, value);
        }

        return message;
    }

    private void Fill(IList list, FieldDescriptor field, int depth)
    {
        for (int i = random.Next(4); i > 0; i--)
        {
            if (Value(field, depth) is { } value)
                list.Add(value);
        }
    }

    private void Fill(IDictionary map, FieldDescriptor field, int depth)
    {
        for (int i = random.Next(3); i > 0; i--)
        {
            if (Value(field.MessageType.FindFieldByNumber(1), depth) is { } key && Value(field.MessageType.FindFieldByNumber(2), depth) is { } value)
                map[key] = value;
        }
    }

    private object? Value(FieldDescriptor field, int depth) => field.FieldType switch
    {
        FieldType.Message => depth < Depth ? Of(field.MessageType, depth + 1) : null,
        FieldType.String => Texts[random.Next(Texts.Length)],
        FieldType.Bytes => ByteString.CopyFrom(Bytes(random.Next(64))),
        FieldType.Bool => random.Next(2) == 0,
        FieldType.Double => Number(),
        FieldType.Float => (float)Number(),
        FieldType.Int64 or FieldType.SInt64 or FieldType.SFixed64 => Whole(),
        FieldType.UInt64 or FieldType.Fixed64 => (ulong)Whole(),
        FieldType.Int32 or FieldType.SInt32 or FieldType.SFixed32 => (int)Whole(),
        FieldType.UInt32 or FieldType.Fixed32 => (uint)Whole(),
        // Values that are no member too.
        FieldType.Enum => Enum.ToObject(field.EnumType.ClrType, random.Next(10) == 0 ? 12345 : random.Next(field.EnumType.Values.Count)),
        _ => null,
    };

    private byte[] Bytes(int count)
    {
        byte[] bytes = new byte[count];
        random.NextBytes(bytes);
        return bytes;
    }

    private double Number() => new[] { 0, -1, 0.5, 1, 1e300, -1e300, double.NaN, double.PositiveInfinity, double.Epsilon }[random.Next(9)];

    private long Whole() => new[] { 0, 1, 2, -1, 64, 320, 1 << 20, int.MaxValue, int.MinValue, long.MaxValue, long.MinValue }[random.Next(11)];
}
