using System.Text.Json.Nodes;
using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.Formats.Safetensors;
using Drover.ObjectStore;

namespace Drover.Checkpoint.Exports;

/// <summary>Streams tensors into safetensors shards: one chunk of one tensor is in memory at a time.</summary>
/// <param name="content">The tensors.</param>
/// <param name="dataType">Of the files.</param>
/// <param name="maxShardBytes">Of a shard.</param>
internal sealed class WeightShards(ExportContent content, string dataType, long maxShardBytes)
{
    private const long ChunkElements = 1 << 22;

    /// <summary>Bytes of all tensors.</summary>
    public long TotalBytes => Tensors().Sum(BytesOf);

    /// <summary>Writes shards, and the index when there are many.</summary>
    /// <param name="store">The object store.</param>
    /// <param name="prefix">The model's folder.</param>
    /// <param name="written">Told the bytes written so far.</param>
    /// <param name="cancellation">Gives up.</param>
    public async Task WriteAsync(IObjectStore store, string prefix, Action<long> written, CancellationToken cancellation)
    {
        List<List<(string Name, long[] Shape)>> shards = Plan();
        var map = new JsonObject();
        long done = 0;
        for (int i = 0; i < shards.Count; i++)
        {
            string file = shards.Count == 1 ? content.SingleFile : $"model-{i + 1:D5}-of-{shards.Count:D5}.safetensors";
            List<SafetensorsTensor> tensors = [.. shards[i].Select(t => new SafetensorsTensor(content.NamePrefix + t.Name, dataType, t.Shape, (target, c) => CopyAsync(t.Name, t.Shape, target, n => written(done += n), c)))];
            await SafetensorsWriter.PutAsync(store, ObjectKey.Join(prefix, file), tensors, null, cancellation).ConfigureAwait(false);
            foreach ((string name, _) in shards[i])
                map[name] = file;
        }

        if (shards.Count > 1)
        {
            var index = new JsonObject { ["metadata"] = new JsonObject { ["total_size"] = TotalBytes }, ["weight_map"] = map };
            await store.PutTextAsync(ObjectKey.Join(prefix, HuggingFaceModel.IndexFile), index.ToJsonString(new System.Text.Json.JsonSerializerOptions { WriteIndented = true }) + "\n", cancellation).ConfigureAwait(false);
        }
    }

    /// <summary>In the order of the blocks, each shard as full as it gets; a tensor larger than a shard has one of its own.</summary>
    private List<List<(string Name, long[] Shape)>> Plan()
    {
        List<List<(string Name, long[] Shape)>> shards = [[]];
        long size = 0;
        foreach ((string Name, long[] Shape) tensor in Tensors())
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

    private IEnumerable<(string Name, long[] Shape)> Tensors() => content.Tensors;

    private long BytesOf((string Name, long[] Shape) tensor) => SafetensorsTypes.ElementBytes(dataType) * Count(tensor.Shape);

    private async Task CopyAsync(string name, long[] shape, Stream target, Action<long> written, CancellationToken cancellation)
    {
        long row = Count(shape.AsSpan(1));
        long rows = Math.Clamp(ChunkElements / row, 1, shape[0]);
        float[] values = new float[rows * row];
        byte[] bytes = new byte[values.Length * SafetensorsTypes.ElementBytes(dataType)];
        for (long first = 0; first < shape[0]; first += rows)
        {
            long[] offset = new long[shape.Length];
            offset[0] = first;
            long[] extent = [Math.Min(rows, shape[0] - first), .. shape.AsSpan(1)];
            int count = (int)(extent[0] * row);
            await content.Read(name, shape, new TensorBox(offset, extent), values.AsMemory(0, count), cancellation).ConfigureAwait(false);
            int length = count * SafetensorsTypes.ElementBytes(dataType);
            Rounding.Write(values.AsSpan(0, count), dataType, bytes.AsSpan(0, length), name);
            await target.WriteAsync(bytes.AsMemory(0, length), cancellation).ConfigureAwait(false);
            written(length);
        }
    }

    private static long Count(ReadOnlySpan<long> shape)
    {
        long count = 1;
        foreach (long d in shape)
            count = checked(count * d);
        return count;
    }
}
