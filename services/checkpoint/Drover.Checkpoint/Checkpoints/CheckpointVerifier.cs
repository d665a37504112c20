using Drover.Errors;
using Drover.Formats.Adapters;
using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.Formats.Safetensors;
using Drover.ObjectStore;

namespace Drover.Checkpoint.Checkpoints;

/// <summary>Reads back what ranks wrote and holds it against the manifest.</summary>
internal sealed class CheckpointVerifier(IObjectStore store)
{
    private static readonly string[] Kinds = [LogicalTensor.Weight, LogicalTensor.FirstMoment, LogicalTensor.SecondMoment];

    /// <summary>All that is wrong with a checkpoint; every byte is read. Empty means that it is sound.</summary>
    /// <param name="prefix">Where it lies.</param>
    /// <param name="manifest">A manifest that parsed: its slices cover its tensors.</param>
    /// <param name="cancellation">Gives up.</param>
    public async Task<IReadOnlyList<string>> VerifyAsync(string prefix, CheckpointManifest manifest, CancellationToken cancellation)
    {
        var problems = new List<string>();
        problems.AddRange(MissingTensors(prefix, manifest));
        ILookup<string, TensorSlice> slices = manifest.Tensors.SelectMany(t => t.Slices).ToLookup(s => s.File, StringComparer.Ordinal);
        foreach (CheckpointShard shard in manifest.Shards)
        {
            try
            {
                if (await ShardProblemAsync(prefix, shard, slices[shard.File], cancellation).ConfigureAwait(false) is { } problem)
                    problems.Add($"shard '{shard.File}' {problem}");
            }
            catch (DroverException e) when (e.Code is FailureCode.NotFound or FailureCode.DataLoss or FailureCode.InvalidArgument)
            {
                problems.Add($"shard '{shard.File}': {e.Message}");
            }
        }

        return problems;
    }

    /// <summary>Shards that are missing or have another size: cheap, and what a crash or a full disk damages.</summary>
    public async Task<IReadOnlyList<string>> SizeProblemsAsync(string prefix, CheckpointManifest manifest, CancellationToken cancellation)
    {
        var problems = new List<string>();
        foreach (CheckpointShard shard in manifest.Shards)
        {
            long? size = (await store.FindAsync(ObjectKey.Join(prefix, shard.File), cancellation).ConfigureAwait(false))?.Size;
            if (size != shard.Bytes)
                problems.Add(size is null ? $"shard '{shard.File}' is gone" : $"shard '{shard.File}' has {size} bytes, and its rank wrote {shard.Bytes}");
        }

        return problems;
    }

    private async Task<string?> ShardProblemAsync(string prefix, CheckpointShard shard, IEnumerable<TensorSlice> slices, CancellationToken cancellation)
    {
        string key = ObjectKey.Join(prefix, shard.File);
        ObjectInfo info = await store.GetInfoAsync(key, cancellation).ConfigureAwait(false);
        if (info.Size != shard.Bytes)
            return $"has {info.Size} bytes, and its rank wrote {shard.Bytes}";
        string digest = await store.Sha256Async(key, cancellation).ConfigureAwait(false);
        if (digest != shard.Sha256)
            return $"has the SHA-256 {digest}, and its rank wrote {shard.Sha256}: its bytes changed";
        SafetensorsFile file = await SafetensorsFile.OpenAsync(store, key, cancellation).ConfigureAwait(false);
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (TensorSlice slice in slices)
        {
            if (!file.Header.Tensors.TryGetValue(slice.Key, out SafetensorsEntry? entry))
                return $"holds no '{slice.Key}', which the manifest says";
            if (entry.DataType != SafetensorsTypes.F32 || !entry.Shape.AsSpan().SequenceEqual(slice.Shape))
                return $"holds '{slice.Key}' as {entry.DataType} [{string.Join(", ", entry.Shape)}], and the manifest says F32 [{string.Join(", ", slice.Shape)}]";
            if (!seen.Add(slice.Key))
                return $"holds '{slice.Key}' once, and the manifest uses it twice";
        }

        return null;
    }

    private static List<string> MissingTensors(string prefix, CheckpointManifest manifest)
    {
        var problems = new List<string>();
        LlamaConfig config;
        try
        {
            config = LlamaConfig.Parse(manifest.ModelConfig, $"the model config of '{prefix}'");
        }
        catch (DroverException e)
        {
            return [e.Message];
        }

        var shapes = manifest.Tensors.ToDictionary(t => (t.Kind, t.Name), t => t.Shape);
        // With a base, weights of the model may be there or not; what an adapter trains must be.
        (string Name, long[] Shape)[] added = manifest.Adapter is { } lora ? [.. AdapterTensors.All(lora, config)] : [];
        IEnumerable<(string Name, long[] Shape)> model = LlamaTensors.All(config).Where(w => manifest.Base is null || Kinds.Any(k => shapes.ContainsKey((k, w.Name))));
        foreach ((string name, long[] shape) in model.Concat(added).DistinctBy(w => w.Name))
        {
            foreach (string kind in Kinds)
            {
                if (!shapes.TryGetValue((kind, name), out long[]? found))
                    problems.Add($"{kind}/{name} is missing");
                else if (!found.AsSpan().SequenceEqual(shape))
                    problems.Add($"{kind}/{name} has the shape [{string.Join(", ", found)}], and the model's config says [{string.Join(", ", shape)}]");
            }
        }

        return problems;
    }
}
