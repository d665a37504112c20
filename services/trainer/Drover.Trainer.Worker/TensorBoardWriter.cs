using System.Buffers.Binary;
using System.Numerics;
using Google.Protobuf;

namespace Drover.Trainer.Worker;

/// <summary>
/// A TensorBoard event file of scalars. Records are framed as TFRecord (length, masked CRC-32C of the length, data, masked
/// CRC-32C of the data; tensorflow/core/lib/io/record_writer.h); data is the message Event of tensorflow/core/util/event.proto,
/// of which four fields are needed.
/// </summary>
internal sealed class TensorBoardWriter : IDisposable
{
    private const uint MaskDelta = 0xa282ead8;
    private readonly FileStream _file;
    private readonly TimeProvider _time;

    public TensorBoardWriter(string path, TimeProvider time)
    {
        Path = path;
        _time = time;
        _file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.Read);
        using var body = new MemoryStream();
        using var output = new CodedOutputStream(body);
        WriteTime(output);
        output.WriteTag(3, WireFormat.WireType.LengthDelimited); // file_version
        output.WriteString("brain.Event:2");
        output.Flush();
        WriteRecord(body.ToArray());
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

        using var body = new MemoryStream();
        using (var output = new CodedOutputStream(body, leaveOpen: true))
        {
            WriteTime(output);
            output.WriteTag(2, WireFormat.WireType.Varint); // step
            output.WriteInt64(step);
            output.WriteTag(5, WireFormat.WireType.LengthDelimited); // summary
            output.WriteBytes(ByteString.CopyFrom(summary.ToArray()));
        }

        WriteRecord(body.ToArray());
    }

    public void Flush() => _file.Flush();

    public void Dispose() => _file.Dispose();

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
