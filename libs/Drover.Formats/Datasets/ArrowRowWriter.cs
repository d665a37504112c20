using System.Buffers;
using System.Runtime.InteropServices;
using Apache.Arrow;
using Apache.Arrow.Ipc;
using Apache.Arrow.Types;

namespace Drover.Formats.Datasets;

/// <summary>
/// Writes packed rows as an Arrow IPC stream (uncompressed, so that it can be mapped): columns <c>input_ids</c>,
/// <c>labels</c>, <c>document_lengths</c>, each list&lt;int32&gt;. The same rows give the same bytes. While one record batch is being filled,
/// the one before is digested and written by another thread.
/// </summary>
public sealed class ArrowRowWriter : IDisposable
{
    /// <summary>Most rows of one record batch.</summary>
    public const int BatchRows = 256;

    // A batch ends early past this, so that its list offsets stay far from 2^31 whatever the row length is.
    private const int BatchTokens = 4 << 20;
    private const int FirstBytes = 1 << 16;
    private const string InputIds = "input_ids";
    private const string Labels = "labels";
    private const string DocumentLengths = "document_lengths";

    private readonly DigestStream _target;
    private readonly ArrowStreamWriter _writer;
    private readonly List<ArrowBatch> _batches = [];
    private Columns _filling = new();
    private Columns _spare = new();
    private Task _writing = Task.CompletedTask;

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

    /// <summary>Bytes of the values given so far, whether they are written yet or not.</summary>
    public long ValueBytes { get; private set; }

    /// <summary>Adds a row.</summary>
    public void Write(PackedRow row)
    {
        if (row.InputIds.Length != row.Labels.Length)
            throw new ArgumentException($"A row has {row.InputIds.Length} ids and {row.Labels.Length} labels.", nameof(row));
        (Span<int> ids, Span<int> labels) = Add(row.DocumentLengths);
        if (ids.Length != row.InputIds.Length)
            throw new ArgumentException($"The documents of a row hold {ids.Length} tokens, and the row {row.InputIds.Length}.", nameof(row));
        row.InputIds.CopyTo(ids);
        row.Labels.CopyTo(labels);
    }

    /// <summary>Adds a row of documents.</summary>
    /// <param name="documentLengths">Tokens of each.</param>
    /// <returns>Where its ids and labels are to be put before the next call. They hold anything.</returns>
    public RowSpace Add(ReadOnlySpan<int> documentLengths)
    {
        if (_filling.Rows == BatchRows || _filling.InputIds.Count >= BatchTokens)
            WriteBatch();
        int tokens = 0;
        foreach (int length in documentLengths)
            tokens += length;
        documentLengths.CopyTo(_filling.DocumentLengths.Add(documentLengths.Length));
        _filling.Rows++;
        Rows++;
        ValueBytes += sizeof(int) * (2L * tokens + documentLengths.Length);
        return new RowSpace(_filling.InputIds.Add(tokens), _filling.Labels.Add(tokens));
    }

    /// <summary>Writes what is left and the end-of-stream marker. A stream without rows is a valid one.</summary>
    /// <returns>What a manifest says of the file, but for its name.</returns>
    public DatasetShard Finish()
    {
        if (_filling.Rows > 0)
            WriteBatch();
        _writing.GetAwaiter().GetResult();
        _writer.WriteEnd();
        return new DatasetShard("", Rows, _target.Written, _target.Digest()) { Batches = _batches };
    }

    /// <inheritdoc />
    public void Dispose()
    {
        // What went wrong there was told by the next call, or nobody asks any more.
        ((IAsyncResult)_writing).AsyncWaitHandle.WaitOne();
        _writer.Dispose();
        _target.Dispose();
        _filling.Dispose();
        _spare.Dispose();
    }

    private static Field ListOfInt32(string name) => new(name, new ListType(new Field("item", Int32Type.Default, nullable: true)), nullable: true);

    private void WriteBatch()
    {
        _writing.GetAwaiter().GetResult();
        Columns full = _filling;
        (_filling, _spare) = (_spare, full);
        _filling.Clear();
        _writing = Task.Run(() => WriteBatch(full));
    }

    private void WriteBatch(Columns full)
    {
        long offset = _target.Written;
        using var batch = new RecordBatch(Schema, [full.InputIds.AsArray(), full.Labels.AsArray(), full.DocumentLengths.AsArray()], full.Rows);
        _writer.WriteRecordBatch(batch);
        _batches.Add(new ArrowBatch(offset, _target.Written - offset, full.Rows, _target.TakePart()));
    }

    private static ReadOnlyMemory<byte> WriteSchema()
    {
        using var bytes = new MemoryStream();
        using var writer = new ArrowStreamWriter(bytes, Schema, leaveOpen: true);
        writer.WriteStart();
        return bytes.ToArray();
    }

    /// <summary>The columns of one record batch; they keep their memory for the next but one.</summary>
    private sealed class Columns : IDisposable
    {
        public Column InputIds { get; } = new();

        public Column Labels { get; } = new();

        public Column DocumentLengths { get; } = new();

        public int Rows { get; set; }

        public void Clear()
        {
            Rows = 0;
            InputIds.Clear();
            Labels.Clear();
            DocumentLengths.Clear();
        }

        public void Dispose()
        {
            InputIds.Dispose();
            Labels.Dispose();
            DocumentLengths.Dispose();
        }
    }

    // Its memory is of the pool: one shard after the other is written without new.
    private sealed class Column : IDisposable
    {
        private byte[] _values = [];
        private byte[] _offsets = new byte[sizeof(int) * (BatchRows + 1)];
        private int _lists;

        /// <summary>Values of all lists.</summary>
        public int Count { get; private set; }

        public void Clear() => (_lists, Count) = (0, 0);

        /// <summary>A new list; its values are to be written.</summary>
        public Span<int> Add(int values)
        {
            int end = sizeof(int) * (Count + values);
            if (end > _values.Length)
                Grow(end);
            Span<int> list = MemoryMarshal.Cast<byte, int>(_values.AsSpan(sizeof(int) * Count, sizeof(int) * values));
            Count += values;
            MemoryMarshal.Cast<byte, int>(_offsets.AsSpan())[++_lists] = Count;
            return list;
        }

        public void Dispose()
        {
            if (_values.Length > 0)
                ArrayPool<byte>.Shared.Return(_values);
            _values = [];
        }

        public ListArray AsArray()
        {
            var values = new Int32Array(new ArrowBuffer(_values.AsMemory(0, sizeof(int) * Count)), ArrowBuffer.Empty, Count, nullCount: 0, offset: 0);
            return new ListArray(Schema.GetFieldByIndex(0).DataType, _lists, new ArrowBuffer(_offsets.AsMemory(0, sizeof(int) * (_lists + 1))), values, ArrowBuffer.Empty, nullCount: 0);
        }

        private void Grow(int bytes)
        {
            byte[] larger = ArrayPool<byte>.Shared.Rent(Math.Max(bytes, FirstBytes));
            _values.AsSpan(0, sizeof(int) * Count).CopyTo(larger);
            Dispose();
            _values = larger;
        }
    }
}

/// <summary>Where a row goes.</summary>
public readonly ref struct RowSpace(Span<int> inputIds, Span<int> labels)
{
    /// <summary>For its ids.</summary>
    public Span<int> InputIds { get; } = inputIds;

    /// <summary>For its labels.</summary>
    public Span<int> Labels { get; } = labels;

    /// <summary>Both.</summary>
    public void Deconstruct(out Span<int> inputIds, out Span<int> labels)
    {
        inputIds = InputIds;
        labels = Labels;
    }
}
