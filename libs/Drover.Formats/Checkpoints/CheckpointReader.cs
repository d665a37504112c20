using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text.Json;
using Drover.Errors;
using Drover.Formats.HuggingFace;
using Drover.Formats.Safetensors;
using Drover.ObjectStore;

namespace Drover.Formats.Checkpoints;

/// <summary>
/// A published checkpoint opened for reading any box of any logical tensor, whatever layout wrote it. Thread safe; holds
/// the manifest and the shards' headers only.
/// </summary>
public sealed class CheckpointReader
{
    private readonly IObjectStore _store;
    private readonly Dictionary<(string Kind, string Name), LogicalTensor> _tensors;
    private readonly ConcurrentDictionary<string, SafetensorsFile> _shards = new(StringComparer.Ordinal);

    private CheckpointReader(IObjectStore store, string prefix, CheckpointManifest manifest, string manifestHash)
    {
        _store = store;
        Prefix = prefix;
        Manifest = manifest;
        ManifestHash = manifestHash;
        ModelConfig = LlamaConfig.Parse(manifest.ModelConfig, $"the model config in '{prefix}/{CheckpointManifest.FileName}'");
        _tensors = manifest.Tensors.ToDictionary(t => (t.Kind, t.Name));
    }

    /// <summary>"runs/&lt;run&gt;/checkpoints/step-00001000".</summary>
    public string Prefix { get; }

    /// <summary>The manifest.</summary>
    public CheckpointManifest Manifest { get; }

    /// <summary>SHA-256 of the manifest's bytes, lower-case hex: the identity of the checkpoint.</summary>
    public string ManifestHash { get; }

    /// <summary>The model's config.</summary>
    public LlamaConfig ModelConfig { get; }

    /// <summary>Opens a published checkpoint, or the one that a name of <see cref="RunKeys.Best"/> stands for now.</summary>
    /// <exception cref="DroverException">NotFound when it is not there or not published; DataLoss when its manifest is damaged.</exception>
    public static async Task<CheckpointReader> OpenAsync(IObjectStore store, string prefix, CancellationToken cancellation)
    {
        if (RunKeys.IsBest(prefix))
            prefix = (await BestCheckpoint.ReadAsync(store, prefix, cancellation).ConfigureAwait(false)).Checkpoint;
        string key = ObjectKey.Join(prefix, CheckpointManifest.FileName);
        if (await store.FindAsync(key, cancellation).ConfigureAwait(false) is null)
        {
            bool pending = await store.FindAsync(ObjectKey.Join(prefix, CheckpointManifest.PendingFileName), cancellation).ConfigureAwait(false) is not null;
            throw new DroverException(FailureCode.NotFound, "CHECKPOINT_NOT_FOUND", pending
                ? $"The checkpoint '{prefix}' was written but not published: it was not verified. Use an earlier one, or publish it."
                : $"There is no checkpoint '{prefix}'.");
        }

        byte[] bytes = await store.ReadAllBytesAsync(key, cancellation).ConfigureAwait(false);
        CheckpointManifest manifest = ParseManifest(bytes, key);
        return new CheckpointReader(store, prefix, manifest, Convert.ToHexStringLower(SHA256.HashData(bytes)));
    }

    /// <summary>Reads a manifest and checks that its tensors are named once and made up of whole slices.</summary>
    /// <exception cref="DroverException">DataLoss, naming what is wrong.</exception>
    public static CheckpointManifest ParseManifest(ReadOnlySpan<byte> json, string key)
    {
        CheckpointManifest manifest;
        try
        {
            manifest = JsonSerializer.Deserialize(json, CheckpointManifestJson.Default.CheckpointManifest) ?? throw new JsonException("it is null");
        }
        catch (JsonException e)
        {
            throw Damaged(key, e.Message, e);
        }

        if (manifest.Version != 1)
            throw new DroverException(FailureCode.FailedPrecondition, "CHECKPOINT_VERSION", $"'{key}' has the layout version {manifest.Version}; this Drover reads version 1. Use the Drover that wrote it.");
        if (FieldProblem(manifest) is { } problem)
            throw Damaged(key, problem, null);
        return manifest;
    }

    /// <summary>Whether there is a tensor of this kind and name.</summary>
    public bool Contains(string kind, string name) => _tensors.ContainsKey((kind, name));

    /// <summary>A tensor that must be there.</summary>
    /// <exception cref="DroverException">NotFound.</exception>
    public LogicalTensor Get(string kind, string name) => _tensors.TryGetValue((kind, name), out LogicalTensor? tensor)
        ? tensor
        : throw new DroverException(FailureCode.NotFound, "TENSOR_NOT_FOUND", $"The checkpoint '{Prefix}' holds no {kind} of '{name}'.");

    /// <summary>Reads a whole tensor, row-major.</summary>
    /// <param name="kind">E.g. <see cref="LogicalTensor.Weight"/>.</param>
    /// <param name="name">Hugging Face name.</param>
    /// <param name="target">As many elements as the tensor has.</param>
    /// <param name="cancellation">Gives up.</param>
    public Task ReadAsync(string kind, string name, Memory<float> target, CancellationToken cancellation)
    {
        long[] shape = Get(kind, name).Shape;
        return ReadAsync(kind, name, new long[shape.Length], shape, target, cancellation);
    }

    /// <summary>Reads a box of a tensor, row-major, put together from whatever slices hold it.</summary>
    /// <param name="kind">E.g. <see cref="LogicalTensor.Weight"/>.</param>
    /// <param name="name">Hugging Face name.</param>
    /// <param name="offset">Where the box starts, one number a dimension.</param>
    /// <param name="shape">Its extent.</param>
    /// <param name="target">As many elements as the box has.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="DroverException">NotFound; OutOfRange; DataLoss when a shard is missing or does not hold what the manifest says.</exception>
    public async Task ReadAsync(string kind, string name, long[] offset, long[] shape, Memory<float> target, CancellationToken cancellation)
    {
        LogicalTensor tensor = Get(kind, name);
        var box = new TensorBox(offset, shape);
        if (!box.LiesIn(tensor.Shape))
            throw new DroverException(FailureCode.OutOfRange, "BOX_PAST_END", $"{TensorCoverage.Text(shape)} at {TensorCoverage.Text(offset)} does not lie in {kind}/{name} {TensorCoverage.Text(tensor.Shape)}.");
        if (target.Length != box.ElementCount)
            throw new DroverException(FailureCode.Internal, "WRONG_BUFFER", $"A buffer of {target.Length} elements was given for {box.ElementCount} of {kind}/{name}.");
        foreach (TensorSlice slice in tensor.Slices)
        {
            if (TensorCoverage.BoxOf(slice).Intersect(box) is { } part)
                await ReadPartAsync(slice, part, box, target, cancellation).ConfigureAwait(false);
        }
    }

    private async Task ReadPartAsync(TensorSlice slice, TensorBox part, TensorBox box, Memory<float> target, CancellationToken cancellation)
    {
        SafetensorsFile file = await ShardAsync(slice.File, cancellation).ConfigureAwait(false);
        TensorBox held = TensorCoverage.BoxOf(slice);
        if (!file.Header.Tensors.TryGetValue(slice.Key, out SafetensorsEntry? entry) || entry.DataType != SafetensorsTypes.F32 || !entry.Shape.AsSpan().SequenceEqual(slice.Shape))
            throw new DroverException(FailureCode.DataLoss, "DAMAGED_CHECKPOINT", $"'{file.Key}' does not hold '{slice.Key}' of F32 {TensorCoverage.Text(slice.Shape)}, which the manifest of '{Prefix}' says. Use another checkpoint.");
        long last = 0;
        long first = -1;
        foreach ((long here, _, long length) in held.Runs(part, box))
        {
            first = first < 0 ? here : first;
            last = here + length;
        }

        // One request for the stretch from the first to the last element; what lies between the runs is read over.
        Stream source = await _store.OpenReadAsync(file.Key, file.Header.DataStart + entry.Offset + (first * sizeof(float)), (last - first) * sizeof(float), cancellation).ConfigureAwait(false);
        var floats = new FloatStream(source);
        await using (floats.ConfigureAwait(false))
        {
            long position = first;
            foreach ((long here, long there, long length) in held.Runs(part, box))
            {
                await floats.SkipAsync(here - position, cancellation).ConfigureAwait(false);
                await floats.ReadAsync(target.Slice((int)there, (int)length), cancellation).ConfigureAwait(false);
                position = here + length;
            }
        }
    }

    private async ValueTask<SafetensorsFile> ShardAsync(string file, CancellationToken cancellation)
    {
        if (_shards.TryGetValue(file, out SafetensorsFile? known))
            return known;
        try
        {
            return _shards[file] = await SafetensorsFile.OpenAsync(_store, ObjectKey.Join(Prefix, file), cancellation).ConfigureAwait(false);
        }
        catch (DroverException e) when (e.Code == FailureCode.NotFound)
        {
            throw new DroverException(FailureCode.DataLoss, "DAMAGED_CHECKPOINT", $"The shard '{file}' of the checkpoint '{Prefix}' is gone. Use another checkpoint.", e);
        }
    }

    private static string? FieldProblem(CheckpointManifest manifest)
    {
        var names = new HashSet<(string, string)>();
        var files = new HashSet<string>(StringComparer.Ordinal);
        foreach (CheckpointShard shard in manifest.Shards)
        {
            if (shard is null || string.IsNullOrEmpty(shard.File) || !files.Add(shard.File))
                return $"shard '{shard?.File}' is named twice or has no name";
        }

        foreach (LogicalTensor tensor in manifest.Tensors)
        {
            if (tensor?.Kind is null || tensor.Name is null || tensor.Shape is null || tensor.Slices is null || tensor.Slices.Any(s => s?.File is null || s.Key is null || s.Offset is null || s.Shape is null))
                return "a tensor or slice lacks a field";
            if (!names.Add((tensor.Kind, tensor.Name)))
                return $"{tensor.Kind}/{tensor.Name} is named twice";
            if (tensor.DataType != SafetensorsTypes.F32)
                return $"{tensor.Kind}/{tensor.Name} is {tensor.DataType}; checkpoints hold F32";
            if (tensor.Slices.FirstOrDefault(s => !files.Contains(s.File)) is { } stray)
                return $"a slice of {tensor.Kind}/{tensor.Name} lies in '{stray.File}', which is not one of the shards";
            if (TensorCoverage.Problem(tensor) is { } problem)
                return problem;
        }

        return null;
    }

    private static DroverException Damaged(string key, string why, Exception? inner) =>
        new(FailureCode.DataLoss, "DAMAGED_CHECKPOINT", $"'{key}' is not the manifest of a checkpoint: {why}. Use another checkpoint.", inner);
}
