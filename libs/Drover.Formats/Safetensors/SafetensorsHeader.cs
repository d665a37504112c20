using System.Buffers.Binary;
using System.Text.Json;
using Drover.Errors;

namespace Drover.Formats.Safetensors;

/// <summary>
/// The header of a safetensors file: 8 bytes little-endian length, then JSON that names each tensor's type, shape and
/// byte range. Everything is checked before anything is believed: a hostile length, an overlap, a hole, a range past
/// the end or a size that does not fit the shape is refused. Format: github.com/huggingface/safetensors, README.
/// </summary>
public sealed class SafetensorsHeader
{
    /// <summary>Longest header read, as in the reference implementation.</summary>
    public const int MaxHeaderBytes = 100_000_000;

    private SafetensorsHeader(IReadOnlyDictionary<string, SafetensorsEntry> tensors, IReadOnlyDictionary<string, string> metadata, long dataStart)
    {
        Tensors = tensors;
        Metadata = metadata;
        DataStart = dataStart;
    }

    /// <summary>The tensors by name.</summary>
    public IReadOnlyDictionary<string, SafetensorsEntry> Tensors { get; }

    /// <summary>The strings under "__metadata__".</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>Where tensor data starts in the file, bytes.</summary>
    public long DataStart { get; }

    /// <summary>Reads the length field and refuses one that cannot be.</summary>
    /// <param name="first8">The first 8 bytes of the file.</param>
    /// <param name="fileBytes">Size of the file.</param>
    /// <param name="file">For messages.</param>
    public static int ParseLength(ReadOnlySpan<byte> first8, long fileBytes, string file)
    {
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(first8);
        if (length > MaxHeaderBytes || (long)length > fileBytes - 8)
            throw Corrupt(file, $"its header says it is {length} bytes long in a file of {fileBytes}");
        return (int)length;
    }

    /// <summary>Parses and checks the JSON of a header.</summary>
    /// <param name="json">The header's bytes without the length.</param>
    /// <param name="fileBytes">Size of the file.</param>
    /// <param name="file">For messages.</param>
    public static SafetensorsHeader Parse(ReadOnlyMemory<byte> json, long fileBytes, string file)
    {
        long dataStart = 8 + json.Length;
        var tensors = new Dictionary<string, SafetensorsEntry>(StringComparer.Ordinal);
        var metadata = new Dictionary<string, string>(StringComparer.Ordinal);
        try
        {
            using var document = JsonDocument.Parse(json);
            foreach (JsonProperty property in document.RootElement.EnumerateObject())
            {
                if (property.Name == "__metadata__")
                {
                    foreach (JsonProperty entry in property.Value.EnumerateObject())
                        metadata[entry.Name] = entry.Value.GetString() ?? "";
                }
                else if (!tensors.TryAdd(property.Name, ParseEntry(property.Value)))
                {
                    throw Corrupt(file, $"tensor '{property.Name}' is named twice");
                }
            }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException or FormatException or IndexOutOfRangeException or OverflowException)
        {
            throw Corrupt(file, "its header is not the JSON of a safetensors file", e);
        }

        CheckLayout(tensors, fileBytes - dataStart, file);
        return new SafetensorsHeader(tensors, metadata, dataStart);
    }

    internal static DroverException Corrupt(string file, string why, Exception? inner = null) =>
        new(FailureCode.DataLoss, "CORRUPT_SAFETENSORS", $"'{file}' is not a sound safetensors file: {why}. Fetch or write it again.", inner);

    private static SafetensorsEntry ParseEntry(JsonElement element)
    {
        string type = element.GetProperty("dtype").GetString() ?? throw new FormatException();
        long[] shape = [.. element.GetProperty("shape").EnumerateArray().Select(d => d.GetInt64())];
        JsonElement offsets = element.GetProperty("data_offsets");
        if (offsets.GetArrayLength() != 2)
            throw new FormatException();
        long begin = offsets[0].GetInt64();
        return new SafetensorsEntry(type, shape, begin, checked(offsets[1].GetInt64() - begin));
    }

    private static void CheckLayout(Dictionary<string, SafetensorsEntry> tensors, long dataBytes, string file)
    {
        long position = 0;
        foreach ((string name, SafetensorsEntry entry) in tensors.OrderBy(t => t.Value.Offset).ThenBy(t => t.Value.Length))
        {
            if (entry.Offset != position || entry.Length < 0)
                throw Corrupt(file, $"tensor '{name}' starts at {entry.Offset} where {position} is next (overlap or hole)");
            if (SafetensorsTypes.BytesOf(entry, name, file) != entry.Length)
                throw Corrupt(file, $"tensor '{name}' of {entry.DataType} [{string.Join(", ", entry.Shape)}] has {entry.Length} bytes");
            position = checked(position + entry.Length);
            if (position > dataBytes)
                throw Corrupt(file, $"tensor '{name}' ends at {position}, past the end of the data ({dataBytes} bytes: truncated?)");
        }

        if (position != dataBytes)
            throw Corrupt(file, $"{dataBytes - position} bytes after the last tensor belong to none");
    }
}

/// <summary>Where a tensor lies.</summary>
/// <param name="DataType">"F32", "BF16", ...</param>
/// <param name="Shape">Its shape.</param>
/// <param name="Offset">From the start of the data, bytes.</param>
/// <param name="Length">Bytes.</param>
public sealed record SafetensorsEntry(string DataType, long[] Shape, long Offset, long Length)
{
    /// <summary>Number of elements.</summary>
    public long ElementCount => Shape.Aggregate(1L, (n, d) => checked(n * d));
}
