using Apache.Arrow;
using Apache.Arrow.Ipc;
using Apache.Arrow.Types;

namespace Drover.Formats.Datasets;

/// <summary>
/// Writes packed rows as an Arrow IPC stream (uncompressed, so that it can be mapped): columns <c>input_ids</c>,
/// <c>labels</c>, <c>document_lengths</c>, each list&lt;int32&gt;. The same rows give the same bytes.
/// </summary>
public sealed class ArrowRowWriter : IDisposable
{
    /// <summary>Most rows of one record batch.</summary>
    public const int BatchRows = 256;

    // A batch ends early past this, so that its list offsets stay far from 2^31 whatever the row length is.
    private const int BatchTokens = 4 << 20;
    private const string InputIds = "input_ids";
    private const string Labels = "labels";
    private const string DocumentLengths = "document_lengths";

    private readonly DigestStream _target;
    private readonly ArrowStreamWriter _writer;
    private readonly List<ArrowBatch> _batches = [];
    private readonly Column _inputIds = new();
    private readonly Column _labels = new();
    private readonly Column _documentLengths = new();

    /// <summary>Writes to <paramref name="target"/>, which stays open.</summary>
    public ArrowRowWriter(Stream target)
    {
        _target = new DigestStream(target);
        _writer = new ArrowStreamWriter(_target, Schema, leaveOpen: true);
        _writer.WriteStart();
        _target.TakePart();
    }

    /// <summary>The columns of every shard.</summary>
    public static Schema Schema { get; } = new Schema.Builder()
        .Field(ListOfInt32(InputIds))
        .Field(ListOfInt32(Labels))
        .Field(ListOfInt32(DocumentLengths))
        .Build();

    /// <summary>What every shard begins with: the schema message. Before any batch it makes a stream of that batch alone.</summary>
    public static ReadOnlyMemory<byte> SchemaBytes { get; } = WriteSchema();

    /// <summary>Rows given so far.</summary>
    public long Rows { get; private set; }

    /// <summary>Bytes written so far.</summary>
    public long Bytes => _target.Written;

    /// <summary>Adds a row.</summary>
    public void Write(PackedRow row)
    {
        if (row.InputIds.Length != row.Labels.Length)
            throw new ArgumentException($"A row has {row.InputIds.Length} ids and {row.Labels.Length} labels.", nameof(row));
        if (row.DocumentLengths.Sum() != row.InputIds.Length)
            throw new ArgumentException($"The documents of a row hold {row.DocumentLengths.Sum()} tokens, and the row {row.InputIds.Length}.", nameof(row));
        _inputIds.Add(row.InputIds);
        _labels.Add(row.Labels);
        _documentLengths.Add(row.DocumentLengths);
        Rows++;
        if (_inputIds.Lists == BatchRows || _inputIds.Values >= BatchTokens)
            WriteBatch();
    }

    /// <summary>Writes what is left and the end-of-stream marker. A stream without rows is a valid one.</summary>
    /// <returns>What a manifest says of the file, but for its name.</returns>
    public DatasetShard Finish()
    {
        if (_inputIds.Lists > 0)
            WriteBatch();
        _writer.WriteEnd();
        return new DatasetShard("", Rows, Bytes, _target.Digest()) { Batches = _batches };
    }

    /// <inheritdoc />
    public void Dispose()
    {
        _writer.Dispose();
        _target.Dispose();
    }

    private static Field ListOfInt32(string name) => new(name, new ListType(new Field("item", Int32Type.Default, nullable: true)), nullable: true);

    private void WriteBatch()
    {
        int rows = _inputIds.Lists;
        long offset = _target.Written;
        using var batch = new RecordBatch(Schema, [_inputIds.Take(), _labels.Take(), _documentLengths.Take()], rows);
        _writer.WriteRecordBatch(batch);
        _batches.Add(new ArrowBatch(offset, _target.Written - offset, rows, _target.TakePart()));
    }

    private static ReadOnlyMemory<byte> WriteSchema()
    {
        using var bytes = new MemoryStream();
        using var writer = new ArrowStreamWriter(bytes, Schema, leaveOpen: true);
        writer.WriteStart();
        return bytes.ToArray();
    }

    private sealed class Column
    {
        private ArrowBuffer.Builder<int> _values = new();
        private ArrowBuffer.Builder<int> _offsets = new();

        public int Values => _values.Length;

        public int Lists => Math.Max(0, _offsets.Length - 1);

        public void Add(int[] list)
        {
            if (_offsets.Length == 0)
                _offsets.Append(0);
            _values.Append(list.AsSpan());
            _offsets.Append(_values.Length);
        }

        public ListArray Take()
        {
            int lists = Lists;
            var values = new Int32Array(_values.Build(), ArrowBuffer.Empty, _values.Length, nullCount: 0, offset: 0);
            var array = new ListArray(Schema.GetFieldByIndex(0).DataType, lists, _offsets.Build(), values, ArrowBuffer.Empty, nullCount: 0);
            _values = new ArrowBuffer.Builder<int>();
            _offsets = new ArrowBuffer.Builder<int>();
            return array;
        }
    }
}
