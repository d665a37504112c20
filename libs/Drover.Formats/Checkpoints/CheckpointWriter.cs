using System.Buffers;
using System.Runtime.InteropServices;
using System.Text.Json;
using Drover.Errors;
using Drover.Formats.Safetensors;
using Drover.ObjectStore;

namespace Drover.Formats.Checkpoints;

/// <summary>
/// The trainer's side of saving. Every rank calls <see cref="WriteShardAsync"/> with the slices that it holds (each element
/// of each tensor by exactly one rank), rank 0 gathers the records, calls <see cref="Assemble"/> and
/// <see cref="WritePendingAsync"/>, and asks the checkpoint service to publish. Until then there is no checkpoint.
/// </summary>
public static class CheckpointWriter
{
    private const int ChunkElements = 1 << 18;

    /// <summary>The shard of a rank: "shard-00000.safetensors".</summary>
    public static string ShardFile(int rank) => $"shard-{rank:D5}.safetensors";

    /// <summary>
    /// Writes a rank's slices as one safetensors file and gives its record. Values are asked for a chunk at a time. If a
    /// checkpoint of this name was published (a run that went back to an earlier step), that is taken back first.
    /// </summary>
    /// <param name="store">The object store.</param>
    /// <param name="prefix">As of <see cref="RunKeys.Checkpoint"/>.</param>
    /// <param name="rank">This rank, from 0.</param>
    /// <param name="slices">What it holds.</param>
    /// <param name="cancellation">Gives up; leaves no shard.</param>
    public static async Task<WrittenShard> WriteShardAsync(IObjectStore store, string prefix, int rank, IReadOnlyList<CheckpointSlice> slices, CancellationToken cancellation)
    {
        await store.DeleteAsync(ObjectKey.Join(prefix, CheckpointManifest.FileName), cancellation).ConfigureAwait(false);
        string file = ShardFile(rank);
        var tensors = new List<SafetensorsTensor>(slices.Count);
        var written = new List<WrittenSlice>(slices.Count);
        foreach (CheckpointSlice slice in slices)
        {
            Check(slice);
            if (TensorBox.Count(slice.Shape) == 0)
                continue;
            string key = KeyOf(slice);
            tensors.Add(new SafetensorsTensor(key, SafetensorsTypes.F32, slice.Shape, (target, c) => CopyAsync(slice, target, c)));
            written.Add(new WrittenSlice(slice.Kind, slice.Name, slice.GlobalShape, new TensorSlice(file, key, slice.Offset, slice.Shape)));
        }

        (long bytes, string sha256) = await SafetensorsWriter.PutAsync(store, ObjectKey.Join(prefix, file), tensors, null, cancellation).ConfigureAwait(false);
        return new WrittenShard(new CheckpointShard(file, rank, bytes, sha256), written);
    }

    /// <summary>The shards and logical tensors that the ranks' records make up.</summary>
    /// <exception cref="DroverException">Internal when they overlap, leave a hole, or disagree on a shape: the layout is wrong.</exception>
    public static (IReadOnlyList<CheckpointShard> Shards, IReadOnlyList<LogicalTensor> Tensors) Assemble(IEnumerable<WrittenShard> written)
    {
        WrittenShard[] shards = [.. written.OrderBy(w => w.Shard.Rank)];
        var tensors = new List<LogicalTensor>();
        foreach (IGrouping<(string Kind, string Name), WrittenSlice> group in shards.SelectMany(w => w.Slices)
            .GroupBy(s => (s.Kind, s.Name))
            .OrderBy(g => g.Key.Kind, StringComparer.Ordinal).ThenBy(g => g.Key.Name, StringComparer.Ordinal))
        {
            long[] shape = group.First().GlobalShape;
            var tensor = new LogicalTensor(group.Key.Kind, group.Key.Name, SafetensorsTypes.F32, shape, [.. group.Select(s => s.Slice)]);
            string? problem = group.All(s => s.GlobalShape.AsSpan().SequenceEqual(shape))
                ? TensorCoverage.Problem(tensor)
                : $"the ranks do not agree on the shape of {tensor.Kind}/{tensor.Name}";
            if (problem is not null)
                throw new DroverException(FailureCode.Internal, "CHECKPOINT_LAYOUT", $"The ranks' slices do not make up a checkpoint: {problem}.");
            tensors.Add(tensor);
        }

        return ([.. shards.Select(w => w.Shard)], tensors);
    }

    /// <summary>Writes the manifest that the checkpoint service is to verify and publish.</summary>
    public static async Task WritePendingAsync(IObjectStore store, string prefix, CheckpointManifest manifest, CancellationToken cancellation) =>
        await store.PutBytesAsync(
            ObjectKey.Join(prefix, CheckpointManifest.PendingFileName),
            JsonSerializer.SerializeToUtf8Bytes(manifest, CheckpointManifestJson.Default.CheckpointManifest),
            PutCondition.None,
            cancellation).ConfigureAwait(false);

    private static void Check(CheckpointSlice slice)
    {
        if (!new TensorBox(slice.Offset, slice.Shape).LiesIn(slice.GlobalShape))
        {
            throw new DroverException(
                FailureCode.Internal,
                "CHECKPOINT_LAYOUT",
                $"Slice {TensorCoverage.Text(slice.Shape)} at {TensorCoverage.Text(slice.Offset)} does not lie in {slice.Kind}/{slice.Name} {TensorCoverage.Text(slice.GlobalShape)}.");
        }
    }

    private static string KeyOf(CheckpointSlice slice) => slice.Shape.AsSpan().SequenceEqual(slice.GlobalShape)
        ? $"{slice.Kind}/{slice.Name}"
        : $"{slice.Kind}/{slice.Name}@{string.Join(',', slice.Offset)}";

    private static async Task CopyAsync(CheckpointSlice slice, Stream target, CancellationToken cancellation)
    {
        long count = TensorBox.Count(slice.Shape);
        // Rented: a buffer for each tensor would be, after a few saves, as much garbage as the rank's slices.
        byte[] buffer = ArrayPool<byte>.Shared.Rent(sizeof(float) * ChunkElements);
        try
        {
            for (long first = 0; first < count; first += ChunkElements)
            {
                int bytes = sizeof(float) * (int)Math.Min(ChunkElements, count - first);
                slice.Copy(first, MemoryMarshal.Cast<byte, float>(buffer.AsSpan(0, bytes)));
                await target.WriteAsync(buffer.AsMemory(0, bytes), cancellation).ConfigureAwait(false);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
