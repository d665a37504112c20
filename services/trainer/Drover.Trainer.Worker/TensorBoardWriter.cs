using System.Buffers.Binary;
using System.Numerics;
using Google.Protobuf;

namespace Drover.Trainer.Worker;

/// <summary>
/// A TensorBoard event file of scalars and texts. Records are framed as TFRecord (length, masked CRC-32C of the length, data, masked
/// CRC-32C of the data; tensorflow/core/lib/io/record_writer.h); data is the message Event of tensorflow/core/util/event.proto,
/// of which four fields are needed; a text is a string tensor that names the plugin "text" (tensorboard/plugins/text/metadata.py).
/// </summary>
internal sealed class TensorBoardWriter : IDisposable
{
    private const uint MaskDelta = 0xa282ead8;
    private const int StringType = 7; // DT_STRING
    private readonly FileStream _file;
    private readonly TimeProvider _time;

    public TensorBoardWriter(string path, TimeProvider time)
    {
        Path = path;
        _time = time;
        _file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.Read);
        WriteRecord(Message(output =>
        {
            WriteTime(output);
            Field(output, 3, ByteString.CopyFromUtf8("brain.Event:2")); // file_version
        }));
    }

    /// <summary>The local file.</summary>
    public string Path { get; }

    /// <summary>Adds the values of one step.</summary>
    public void Write(long step, params ReadOnlySpan<(string Tag, double Value)> scalars)
    {
        using var summary = new MemoryStream();
        using (var output = new CodedOutputStream(summary, leaveOpen: true))
        {
            foreach ((string tag, double value) in scalars)
            {
                output.WriteTag(1, WireFormat.WireType.LengthDelimited); // Summary.value
                output.WriteLength(1 + CodedOutputStream.ComputeStringSize(tag) + 1 + sizeof(float));
                output.WriteTag(1, WireFormat.WireType.LengthDelimited);
                output.WriteString(tag);
                output.WriteTag(2, WireFormat.WireType.Fixed32); // simple_value
                output.WriteFloat((float)value);
            }
        }

        WriteSummary(step, summary.ToArray());
    }

    /// <summary>Adds a text; TensorBoard shows it as Markdown.</summary>
    public void WriteText(long step, string tag, string text)
    {
        byte[] plugin = Message(data => Field(data, 1, ByteString.CopyFromUtf8("text"))); // PluginData.plugin_name
        byte[] metadata = Message(m => Field(m, 1, ByteString.CopyFrom(plugin))); // SummaryMetadata.plugin_data
        byte[] shape = Message(s => Field(s, 2, ByteString.CopyFrom(Message(dim => // TensorShapeProto.dim
        {
            dim.WriteTag(1, WireFormat.WireType.Varint); // size
            dim.WriteInt64(1);
        }))));
        byte[] tensor = Message(t =>
        {
            t.WriteTag(1, WireFormat.WireType.Varint); // dtype
            t.WriteInt32(StringType);
            Field(t, 2, ByteString.CopyFrom(shape)); // tensor_shape
            Field(t, 8, ByteString.CopyFromUtf8(text)); // string_val
        });
        byte[] value = Message(v =>
        {
            Field(v, 1, ByteString.CopyFromUtf8(tag));
            Field(v, 8, ByteString.CopyFrom(tensor));
            Field(v, 9, ByteString.CopyFrom(metadata));
        });
        WriteSummary(step, Message(s => Field(s, 1, ByteString.CopyFrom(value))));
    }

    public void Flush() => _file.Flush();

    public void Dispose() => _file.Dispose();

    private static byte[] Message(Action<CodedOutputStream> write)
    {
        using var body = new MemoryStream();
        using (var output = new CodedOutputStream(body, leaveOpen: true))
            write(output);
        return body.ToArray();
    }

    private static void Field(CodedOutputStream output, int number, ByteString value)
    {
        output.WriteTag(number, WireFormat.WireType.LengthDelimited);
        output.WriteBytes(value);
    }

    private void WriteSummary(long step, byte[] summary) => WriteRecord(Message(output =>
    {
        WriteTime(output);
        output.WriteTag(2, WireFormat.WireType.Varint); // step
        output.WriteInt64(step);
        Field(output, 5, ByteString.CopyFrom(summary)); // summary
    }));

    private void WriteTime(CodedOutputStream output)
    {
        output.WriteTag(1, WireFormat.WireType.Fixed64); // wall_time
        output.WriteDouble(_time.GetUtcNow().ToUnixTimeMilliseconds() / 1000.0);
    }

    private void WriteRecord(ReadOnlySpan<byte> data)
    {
        Span<byte> frame = stackalloc byte[12];
        BinaryPrimitives.WriteUInt64LittleEndian(frame, (ulong)data.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(frame[8..], MaskedCrc(frame[..8]));
        _file.Write(frame);
        _file.Write(data);
        BinaryPrimitives.WriteUInt32LittleEndian(frame, MaskedCrc(data));
        _file.Write(frame[..4]);
    }

    internal static uint MaskedCrc(ReadOnlySpan<byte> data)
    {
        uint crc = uint.MaxValue;
        foreach (byte b in data)
            crc = BitOperations.Crc32C(crc, b);
        crc = ~crc;
        return BitOperations.RotateRight(crc, 15) + MaskDelta;
    }
}
