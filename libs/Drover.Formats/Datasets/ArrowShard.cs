using Apache.Arrow;
using Apache.Arrow.Ipc;
using Drover.Errors;

namespace Drover.Formats.Datasets;

/// <summary>The rows of one Arrow IPC stream file, read in place and in any order.</summary>
internal sealed class ArrowShard : IDisposable
{
    private readonly MappedFile _mapped;
    private readonly List<RecordBatch> _batches = [];
    private readonly List<long> _firstRows = [];

    private ArrowShard(MappedFile mapped) => _mapped = mapped;

    /// <summary>Rows in the file.</summary>
    public long Rows { get; private set; }

    /// <summary>Maps a file and walks its record batches.</summary>
    /// <param name="path">The local file.</param>
    /// <param name="name">The shard's key, for messages.</param>
    /// <exception cref="DroverException">DataLoss when it is not a stream of packed rows.</exception>
    public static ArrowShard Open(string path, string name)
    {
        var shard = new ArrowShard(new MappedFile(path));
        try
        {
            shard.Walk(name);
            return shard;
        }
        catch (Exception e) when (e is not DroverException)
        {
            // The Arrow reader answers damaged bytes with whatever its parsing trips over.
            shard.Dispose();
            throw Damaged(name, e.Message, e);
        }
        catch
        {
            shard.Dispose();
            throw;
        }
    }

    /// <summary>Copies a row out.</summary>
    public PackedRow Read(long row)
    {
        int batch = _firstRows.BinarySearch(row);
        if (batch < 0)
            batch = ~batch - 1;
        int index = (int)(row - _firstRows[batch]);
        return new PackedRow(Values(_batches[batch], 0, index), Values(_batches[batch], 1, index), Values(_batches[batch], 2, index));
    }

    public void Dispose()
    {
        foreach (RecordBatch batch in _batches)
            batch.Dispose();
        ((IDisposable)_mapped).Dispose();
    }

    private static int[] Values(RecordBatch batch, int column, int row)
    {
        var list = (ListArray)batch.Column(column);
        ReadOnlySpan<int> values = ((Int32Array)list.Values).Values;
        return values[list.ValueOffsets[row]..list.ValueOffsets[row + 1]].ToArray();
    }

    private static DroverException Damaged(string name, string why, Exception? inner = null) =>
        new(FailureCode.DataLoss, "DAMAGED_SHARD", $"Shard '{name}' is damaged: {why}. Build the dataset again.", inner);

    private void Walk(string name)
    {
        using var reader = new ArrowStreamReader(_mapped.Memory);
        string[] columns = [.. reader.Schema.FieldsList.Select(f => f.Name)];
        string[] expected = [.. ArrowRowWriter.Schema.FieldsList.Select(f => f.Name)];
        if (!columns.SequenceEqual(expected))
            throw Damaged(name, $"its columns are [{string.Join(", ", columns)}], and a packed dataset has [{string.Join(", ", expected)}]");
        while (reader.ReadNextRecordBatch() is { } batch)
        {
            _batches.Add(batch);
            if (batch.Arrays.Any(a => a is not ListArray { Values: Int32Array, NullCount: 0 }))
                throw Damaged(name, "a column is not list<int32> without nulls");
            _firstRows.Add(Rows);
            Rows += batch.Length;
        }
    }
}
