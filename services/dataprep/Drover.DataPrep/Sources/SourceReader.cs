using System.Buffers;
using System.IO.Compression;
using Drover.DataPrep.Building;
using Drover.DataPrep.Documents;
using Drover.Formats.Datasets;
using Drover.ObjectStore;
using Drover.Protocol.DataPrep.V1;
using Drover.Tokenization;
using ZstdSharp;

namespace Drover.DataPrep.Sources;

/// <summary>Reads the records of one piece of a source, in order, holding one at a time.</summary>
internal sealed class SourceReader : IDisposable
{
    /// <summary>Longest record of a JSON or text file, and longest line.</summary>
    public const int MostRecordBytes = 64 << 20;

    /// <summary>A text file that is longer is several documents.</summary>
    public const int MostTextBytes = 16 << 20;

    // Without it a gzip file that is cut off would look like one that ends. Read by the runtime when it first decompresses something.
    static SourceReader() => AppContext.SetSwitch("System.IO.Compression.UseStrictValidation", true);

    private readonly PlannedPiece _piece;
    private readonly TextUnit _unit;
    private readonly string _workFolder;
    private readonly ReadAheadStream _input;
    private readonly Stream _plain;

    /// <summary>Begins to read.</summary>
    public SourceReader(IObjectStore store, DatasetSource source, PlannedPiece piece, TextUnit unit, string workFolder, CancellationToken cancellation)
    {
        (_piece, _unit, _workFolder) = (piece, unit, workFolder);
        _input = new ReadAheadStream(store, source, piece, cancellation);
        _plain = SourceFormat.Require(source.Key).Compression switch
        {
            Compression.Gzip => new GZipStream(_input, CompressionMode.Decompress),
            Compression.Zstandard => new DecompressionStream(_input),
            _ => _input,
        };
        Unit = piece.Shape switch
        {
            RecordShape.Array => "element",
            RecordShape.Parquet => "row",
            _ => "line",
        };
    }

    /// <summary>What the records' numbers count: "line", "element" or "row".</summary>
    public string Unit { get; private set; }

    /// <summary>Bytes of the file read so far.</summary>
    public long BytesRead => _input.Given;

    /// <summary>All records, once.</summary>
    /// <exception cref="Errors.DroverException">FailedPrecondition when the file is not the one that was planned with; Unavailable.</exception>
    public IEnumerable<SourceRecord> Read()
    {
        using IEnumerator<SourceRecord> records = (_piece.Shape switch
        {
            RecordShape.Parquet => ParquetRecords.Read(_input, _workFolder),
            RecordShape.Text => ReadTexts(),
            _ => ReadJson(),
        }).GetEnumerator();
        long last = _piece.FirstLine - 1;
        while (true)
        {
            RejectedException? damage = null;
            try
            {
                if (!records.MoveNext())
                    break;
            }
            catch (Exception e) when (e is InvalidDataException or ZstdException or EndOfStreamException)
            {
                damage = new RejectedException(RejectReasons.DamagedFile, $"the file is damaged after {Unit} {last}, and nothing behind that can be read: {e.Message}");
            }

            if (damage is not null)
            {
                yield return new SourceRecord(last + 1, damage);
                break;
            }

            last = records.Current.Number;
            yield return records.Current;
        }

        _input.Drain();
    }

    public void Dispose()
    {
        if (_plain != _input)
            _plain.Dispose();
        _input.Dispose();
    }

    private IEnumerable<SourceRecord> ReadJson()
    {
        var records = new RecordStream(_plain, _piece.Shape switch { RecordShape.Lines => false, RecordShape.Array => true, _ => null }, MostRecordBytes);
        for (long number = _piece.FirstLine; records.Next(); number++)
        {
            if (records.IsArray)
                Unit = "element";
            if (records.TooLong > 0)
                yield return new SourceRecord(number, TooLong(records.TooLong));
            else if (!records.Record.Span.Trim(" \t\r\n"u8).IsEmpty)
                yield return Checked(number, records.Record);
            if (records.IsUnclosed && !records.IsTerminated)
                yield return new SourceRecord(number, new RejectedException(RejectReasons.MalformedJson, "the file ends inside its array: it is cut off"));
        }
    }

    private static SourceRecord Checked(long number, ReadOnlyMemory<byte> bytes, bool isText = false) => Utf8Validity.IsValid(bytes.Span)
        ? new SourceRecord(number, bytes, isText, null)
        : new SourceRecord(number, new RejectedException(RejectReasons.InvalidUtf8, "the bytes are not UTF-8"));

    private IEnumerable<SourceRecord> ReadTexts()
    {
        var lines = new RecordStream(_plain, isArray: false, MostRecordBytes);
        var text = new ArrayBufferWriter<byte>();
        long first = _piece.FirstLine;
        for (long number = _piece.FirstLine; lines.Next(); number++)
        {
            if (lines.TooLong > 0)
            {
                yield return new SourceRecord(number, TooLong(lines.TooLong));
                continue;
            }

            bool isBlank = lines.Record.Span.Trim(" \t\r"u8).IsEmpty;
            bool endsBefore = _unit == TextUnit.Paragraph && isBlank;
            if (!endsBefore)
            {
                if (text.WrittenCount == 0)
                    first = number;
                text.Write(lines.Record.Span);
                if (lines.IsTerminated)
                    text.Write("\n"u8);
            }

            bool ends = endsBefore || _unit == TextUnit.Line || text.WrittenCount >= MostTextBytes;
            if (!ends || text.WrittenCount == 0)
                continue;
            if (Document(first, text) is { } document)
                yield return document;
            text.ResetWrittenCount();
        }

        if (text.WrittenCount > 0 && Document(first, text) is { } rest)
            yield return rest;
    }

    // Null for white space alone, which is no document.
    private SourceRecord? Document(long number, ArrayBufferWriter<byte> text)
    {
        ReadOnlyMemory<byte> bytes = text.WrittenMemory;
        if (bytes.Span.Trim(" \t\r\n"u8).IsEmpty)
            return null;
        return Checked(number, _unit == TextUnit.File ? bytes : bytes[..bytes.Span.TrimEnd("\r\n"u8).Length], isText: true);
    }

    private static RejectedException TooLong(long bytes) =>
        new(RejectReasons.TooLong, $"it has {bytes} bytes, and at most {MostRecordBytes} are read");
}
