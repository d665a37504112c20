using System.Text.Json;
using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;

namespace Drover.Checkpoint.Checkpoints;

/// <summary>What differs between two checkpoints, whatever layouts wrote them. Of values a chunk of each is in memory at a time.</summary>
internal sealed class CheckpointDiff(IObjectStore store)
{
    private const long ChunkElements = 1 << 20;

    /// <summary>Compares.</summary>
    /// <exception cref="DroverException">InvalidArgument; NotFound; DataLoss.</exception>
    public async Task<DiffCheckpointsResponse> CompareAsync(DiffCheckpointsRequest request, CancellationToken cancellation)
    {
        (CheckpointReader first, CheckpointReader second) = (await OpenAsync(request.First, cancellation).ConfigureAwait(false), await OpenAsync(request.Second, cancellation).ConfigureAwait(false));
        var response = new DiffCheckpointsResponse { Fields = { Fields(first.Manifest, second.Manifest) } };
        var there = second.Manifest.Tensors.ToDictionary(t => (t.Kind, t.Name));
        var changed = new List<TensorDifference>();
        foreach (LogicalTensor tensor in first.Manifest.Tensors)
        {
            if (!there.Remove((tensor.Kind, tensor.Name), out LogicalTensor? other) || !other.Shape.AsSpan().SequenceEqual(tensor.Shape))
                response.Tensors.Add(new TensorDifference { Kind = tensor.Kind, Name = tensor.Name, FirstShape = { tensor.Shape }, SecondShape = { other?.Shape ?? [] } });
            else if (!request.CompareValues)
                response.EqualTensors++;
            else if (await CompareAsync(first, second, tensor, cancellation).ConfigureAwait(false) is { } difference)
                changed.Add(difference);
            else
                response.EqualTensors++;
        }

        response.Tensors.Add(there.Values.Select(t => new TensorDifference { Kind = t.Kind, Name = t.Name, SecondShape = { t.Shape } }));
        response.Tensors.Add(changed.OrderByDescending(d => d.RelativeNorm));
        return response;
    }

    private async Task<CheckpointReader> OpenAsync(string name, CancellationToken cancellation) =>
        await CheckpointReader.OpenAsync(store, RunKeys.IsBest(name) ? name : CheckpointName.Parse(name).Prefix, cancellation).ConfigureAwait(false);

    private static async Task<TensorDifference?> CompareAsync(CheckpointReader first, CheckpointReader second, LogicalTensor tensor, CancellationToken cancellation)
    {
        long rows = tensor.Shape.Length == 0 ? 1 : tensor.Shape[0], row = TensorBox.Count(tensor.Shape) / Math.Max(1, rows), step = Math.Max(1, ChunkElements / Math.Max(1, row));
        float[] a = new float[Math.Min(rows, step) * row], b = new float[a.Length];
        double largest = 0, norm = 0, apart = 0;
        bool equal = true;
        for (long at = 0; at < rows; at += step)
        {
            long[] offset = new long[tensor.Shape.Length], shape = [.. tensor.Shape];
            if (shape.Length > 0)
                (offset[0], shape[0]) = (at, Math.Min(step, rows - at));
            int count = (int)TensorBox.Count(shape);
            await first.ReadAsync(tensor.Kind, tensor.Name, offset, shape, a.AsMemory(0, count), cancellation).ConfigureAwait(false);
            await second.ReadAsync(tensor.Kind, tensor.Name, offset, shape, b.AsMemory(0, count), cancellation).ConfigureAwait(false);
            equal &= System.Runtime.InteropServices.MemoryMarshal.AsBytes(a.AsSpan(0, count)).SequenceEqual(System.Runtime.InteropServices.MemoryMarshal.AsBytes(b.AsSpan(0, count)));
            for (int i = 0; i < count; i++)
            {
                double difference = Math.Abs((double)a[i] - b[i]);
                largest = Math.Max(largest, difference);
                apart += difference * difference;
                norm += (double)a[i] * a[i];
            }
        }

        return equal ? null : new TensorDifference { Kind = tensor.Kind, Name = tensor.Name, FirstShape = { tensor.Shape }, SecondShape = { tensor.Shape }, Largest = largest, RelativeNorm = norm > 0 ? Math.Sqrt(apart / norm) : apart > 0 ? double.PositiveInfinity : 0 };
    }

    private static IEnumerable<FieldDifference> Fields(CheckpointManifest first, CheckpointManifest second)
    {
        SortedDictionary<string, string> a = Flatten(first), b = Flatten(second);
        return a.Keys.Union(b.Keys).Order(StringComparer.Ordinal)
            .Select(k => new FieldDifference { Field = k, First = a.GetValueOrDefault(k, ""), Second = b.GetValueOrDefault(k, "") })
            .Where(d => d.First != d.Second);
    }

    // Everything but where the bytes lie; spec and config by their own fields.
    private static SortedDictionary<string, string> Flatten(CheckpointManifest manifest)
    {
        var fields = new SortedDictionary<string, string>(StringComparer.Ordinal);
        CheckpointManifest plain = manifest with { Shards = [], Tensors = [], RunSpec = "", ModelConfig = "", Guard = null };
        using (JsonDocument document = JsonSerializer.SerializeToDocument(plain, CheckpointManifestJson.Default.CheckpointManifest))
            Flatten(document.RootElement, "", fields);
        foreach ((string name, string text) in new[] { ("spec", manifest.RunSpec), ("config", manifest.ModelConfig) })
        {
            try
            {
                using var document = JsonDocument.Parse(text);
                Flatten(document.RootElement, name, fields);
            }
            catch (JsonException)
            {
                fields[name] = text;
            }
        }

        return fields;
    }

    private static void Flatten(JsonElement element, string path, SortedDictionary<string, string> fields)
    {
        if (element.ValueKind != JsonValueKind.Object)
        {
            if (element.ValueKind != JsonValueKind.Null)
                fields[path] = element.ToString();
            return;
        }

        foreach (JsonProperty property in element.EnumerateObject())
            Flatten(property.Value, path.Length == 0 ? property.Name : $"{path}.{property.Name}", fields);
    }
}
