using System.Text.Json;
using System.Text.Json.Nodes;
using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.Formats.Safetensors;
using Drover.ObjectStore;

namespace Drover.Checkpoint.Exports;

/// <summary>
/// The safetensors files that tensors make: which there are and how large is known from shapes alone, and any range of any of them can be
/// rendered. One chunk of one tensor is in memory at a time.
/// </summary>
internal sealed class WeightShards
{
    private const long ChunkElements = 1 << 20;
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };
    private readonly ExportContent _content;
    private readonly string _dataType;

    /// <param name="content">The tensors.</param>
    /// <param name="dataType">Of the files.</param>
    /// <param name="maxShardBytes">Of a shard.</param>
    public WeightShards(ExportContent content, string dataType, long maxShardBytes)
    {
        (_content, _dataType) = (content, dataType);
        List<List<(string Name, long[] Shape)>> shards = Plan(maxShardBytes);
        Files = [.. shards.Select((shard, i) => new WeightFile(
            shards.Count == 1 ? content.SingleFile : $"model-{i + 1:D5}-of-{shards.Count:D5}.safetensors",
            [.. shard.Select(t => new SafetensorsTensor(content.NamePrefix + t.Name, dataType, t.Shape, (target, c) => CopyAsync(t.Name, t.Shape, 0, long.MaxValue, target, c)))]))];
    }

    /// <summary>The files, in order.</summary>
    public IReadOnlyList<WeightFile> Files { get; }

    /// <summary>Bytes of all tensors.</summary>
    public long TotalBytes => _content.Tensors.Sum(BytesOf);

    /// <summary>The index of many files; null where one is enough.</summary>
    public string? Index()
    {
        if (Files.Count == 1)
            return null;
        var map = new JsonObject();
        foreach (WeightFile file in Files)
        {
            foreach (SafetensorsTensor tensor in file.Tensors)
                map[tensor.Name] = file.Name;
        }

        return new JsonObject { ["metadata"] = new JsonObject { ["total_size"] = TotalBytes }, ["weight_map"] = map }.ToJsonString(Indented) + "\n";
    }

    /// <summary>Writes all files, and the index when there are many.</summary>
    /// <param name="store">The object store.</param>
    /// <param name="prefix">The model's folder.</param>
    /// <param name="written">Told the bytes written so far.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>SHA-256 of each file as it was written, by name.</returns>
    public async Task<IReadOnlyDictionary<string, string>> WriteAsync(IObjectStore store, string prefix, Action<long> written, CancellationToken cancellation)
    {
        var digests = new Dictionary<string, string>(StringComparer.Ordinal);
        long done = 0;
        foreach (WeightFile file in Files)
        {
            List<SafetensorsTensor> told = [.. file.Tensors.Select(t => t with
            {
                Write = async (target, c) =>
                {
                    await t.Write(target, c).ConfigureAwait(false);
                    written(done += t.ByteCount);
                },
            })];
            (_, digests[file.Name]) = await SafetensorsWriter.PutAsync(store, ObjectKey.Join(prefix, file.Name), told, null, cancellation).ConfigureAwait(false);
        }

        if (Index() is { } index)
            await store.PutTextAsync(ObjectKey.Join(prefix, HuggingFaceModel.IndexFile), index, cancellation).ConfigureAwait(false);
        return digests;
    }

    /// <summary>Renders a range of a file.</summary>
    /// <param name="file">One of <see cref="Files"/>.</param>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Bytes; the range lies in the file.</param>
    /// <param name="target">Takes them.</param>
    /// <param name="cancellation">Gives up.</param>
    public async Task WriteRangeAsync(WeightFile file, long offset, long length, Stream target, CancellationToken cancellation)
    {
        long end = offset + length, position = file.Header.Length;
        if (offset < position)
            await target.WriteAsync(file.Header.AsMemory((int)offset, (int)(Math.Min(end, position) - offset)), cancellation).ConfigureAwait(false);
        foreach (SafetensorsTensor tensor in file.Tensors)
        {
            (long first, long last) = (Math.Max(offset, position) - position, Math.Min(end, position + tensor.ByteCount) - position);
            if (first < last)
                await CopyAsync(tensor.Name[_content.NamePrefix.Length..], tensor.Shape, first, last, target, cancellation).ConfigureAwait(false);
            position += tensor.ByteCount;
        }
    }

    /// <summary>In the order of the blocks, each shard as full as it gets; a tensor larger than a shard has one of its own.</summary>
    private List<List<(string Name, long[] Shape)>> Plan(long maxShardBytes)
    {
        List<List<(string Name, long[] Shape)>> shards = [[]];
        long size = 0;
        foreach ((string Name, long[] Shape) tensor in _content.Tensors)
        {
            if (shards[^1].Count > 0 && size + BytesOf(tensor) > maxShardBytes)
            {
                shards.Add([]);
                size = 0;
            }

            shards[^1].Add(tensor);
            size += BytesOf(tensor);
        }

        return shards;
    }

    private long BytesOf((string Name, long[] Shape) tensor) => SafetensorsTypes.ElementBytes(_dataType) * TensorBox.Count(tensor.Shape);

    // The bytes of a tensor from one on, up to another: whole rows are rendered, and what was not asked for of them is cut off. The next rows
    // are read while these are rounded and written.
    private async Task CopyAsync(string name, long[] shape, long firstByte, long endByte, Stream target, CancellationToken cancellation)
    {
        int size = SafetensorsTypes.ElementBytes(_dataType);
        long row = TensorBox.Count(shape.AsSpan(1));
        long rows = Math.Clamp(ChunkElements / row, 1, shape[0]);
        endByte = Math.Min(endByte, shape[0] * row * size);
        long first = firstByte / (row * size), end = Math.Min(shape[0], ((endByte - 1) / (row * size)) + 1);
        float[] current = new float[Math.Min(rows, end - first) * row], next = first + rows < end ? new float[current.Length] : [];
        byte[] bytes = new byte[current.Length * size];
        int Count(long from) => (int)(Math.Min(rows, end - from) * row);
        Task Read(long from, float[] values)
        {
            long[] offset = new long[shape.Length];
            offset[0] = from;
            return _content.Read(name, shape, new TensorBox(offset, [Count(from) / row, .. shape.AsSpan(1)]), values.AsMemory(0, Count(from)), cancellation);
        }

        await Read(first, current).ConfigureAwait(false);
        for (; first < end; first += rows)
        {
            Task reading = first + rows < end ? Read(first + rows, next) : Task.CompletedTask;
            try
            {
                int count = Count(first);
                Rounding.Write(current.AsSpan(0, count), _dataType, bytes.AsSpan(0, count * size), name);
                long at = first * row * size;
                int from = (int)Math.Max(0, firstByte - at), to = (int)Math.Min((long)count * size, endByte - at);
                await target.WriteAsync(bytes.AsMemory(from, to - from), cancellation).ConfigureAwait(false);
            }
            catch
            {
                // What failed first is told; nobody else waits for the other.
                await reading.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                throw;
            }

            await reading.ConfigureAwait(false);
            (current, next) = (next, current);
        }
    }
}

/// <summary>A safetensors file that is not written yet.</summary>
/// <param name="Name">In the model's folder.</param>
/// <param name="Tensors">In order.</param>
internal sealed record WeightFile(string Name, IReadOnlyList<SafetensorsTensor> Tensors)
{
    /// <summary>What comes before the tensors.</summary>
    public byte[] Header { get; } = SafetensorsWriter.BuildHeader(Tensors, null);

    /// <summary>Of the whole file.</summary>
    public long Bytes => Header.Length + Tensors.Sum(t => t.ByteCount);
}
