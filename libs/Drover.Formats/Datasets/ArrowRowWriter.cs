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

    private readonly ArrowStreamWriter _writer;
    private readonly Column _inputIds = new();
    private readonly Column _labels = new();
    private readonly Column _documentLengths = new();
    private bool _started;

    /// <summary>Writes to <paramref name="target"/>, which stays open.</summary>
    public ArrowRowWriter(Stream target) => _writer = new ArrowStreamWriter(target, Schema, leaveOpen: true);

    /// <summary>The columns of every shard.</summary>
    public static Schema Schema { get; } = new Schema.Builder()
        .Field(ListOfInt32(InputIds))
        .Field(ListOfInt32(Labels))
        .Field(ListOfInt32(DocumentLengths))
        .Build();

    /// <summary>Rows given so far.</summary>
    public long Rows { get; private set; }

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
    public void Finish()
    {
        if (_inputIds.Lists > 0)
            WriteBatch();
        if (!_started)
            _writer.WriteStart();
        _writer.WriteEnd();
    }

    /// <inheritdoc />
    public void Dispose() => _writer.Dispose();

    private static Field ListOfInt32(string name) => new(name, new ListType(new Field("item", Int32Type.Default, nullable: true)), nullable: true);

    private void WriteBatch()
    {
        _started = true;
        int rows = _inputIds.Lists;
        using var batch = new RecordBatch(Schema, [_inputIds.Take(), _labels.Take(), _documentLengths.Take()], rows);
        _writer.WriteRecordBatch(batch);
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
