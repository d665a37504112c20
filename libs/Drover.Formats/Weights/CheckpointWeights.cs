using Drover.Errors;
using Drover.Formats.Adapters;
using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.ObjectStore;

namespace Drover.Formats.Weights;

/// <summary>
/// The weights of a checkpoint. What it does not hold itself (weights that were frozen) is read from the base that its manifest names, which
/// must have the content that the run was trained beside; adapters are merged in fp32.
/// </summary>
public sealed class CheckpointWeights : IModelWeights
{
    private readonly CheckpointReader _checkpoint;
    private readonly AdapterMerge? _merge;

    private CheckpointWeights(CheckpointReader checkpoint, IModelWeights? baseModel)
    {
        (_checkpoint, Base) = (checkpoint, baseModel);
        _merge = checkpoint.Manifest.Adapter is { } lora ? new AdapterMerge(lora, ReadStoredAsync, ReadStoredAsync) : null;
    }

    /// <inheritdoc />
    public LlamaConfig Config => _checkpoint.ModelConfig;

    /// <inheritdoc />
    public string Prefix => _checkpoint.Prefix;

    /// <summary>Where weights that the checkpoint does not hold are read; null where it holds all.</summary>
    public IModelWeights? Base { get; }

    /// <summary>Opens the weights of a checkpoint.</summary>
    /// <param name="store">The object store.</param>
    /// <param name="checkpoint">Opened.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <param name="verifies">Whether the content of the base is compared; false where another rank of the same run does.</param>
    /// <exception cref="DroverException">NotFound, or FailedPrecondition: the base is gone, or its content changed.</exception>
    public static async Task<CheckpointWeights> OpenAsync(IObjectStore store, CheckpointReader checkpoint, CancellationToken cancellation, bool verifies = true)
    {
        if (checkpoint.Manifest.Base is not { } reference)
            return new CheckpointWeights(checkpoint, null);
        IModelWeights model;
        try
        {
            model = await ModelWeights.OpenAsync(store, reference.Model, cancellation).ConfigureAwait(false);
        }
        catch (DroverException e) when (e.Code == FailureCode.NotFound)
        {
            throw new DroverException(FailureCode.FailedPrecondition, "BASE_MISSING", $"The checkpoint '{checkpoint.Prefix}' holds what was trained beside '{reference.Model}', which is not there: {e.Message} Put that model back under its name.", e);
        }

        if (verifies && await model.HashAsync(cancellation).ConfigureAwait(false) != reference.Hash)
            throw new DroverException(FailureCode.FailedPrecondition, "BASE_CHANGED", $"The checkpoint '{checkpoint.Prefix}' holds what was trained beside '{reference.Model}', whose weights are others now: its hash is not {reference.Hash}. Put the old ones back under that name.");
        return new CheckpointWeights(checkpoint, model);
    }

    /// <inheritdoc />
    public Task<string> HashAsync(CancellationToken cancellation) => Task.FromResult(_checkpoint.ManifestHash);

    /// <inheritdoc />
    public Task ReadAsync(string name, long[] shape, TensorBox box, Memory<float> target, CancellationToken cancellation) =>
        _merge is null ? ReadStoredAsync(name, shape, box, target, cancellation) : _merge.ReadAsync(name, shape, box, target, cancellation);

    /// <summary>Reads a tensor of the run as it was trained: a weight of the model without its adapter, or what an adapter adds.</summary>
    public Task ReadStoredAsync(string name, long[] shape, TensorBox box, Memory<float> target, CancellationToken cancellation)
    {
        if (Base is not null && !_checkpoint.Contains(LogicalTensor.Weight, name))
            return Base.ReadAsync(name, shape, box, target, cancellation);
        if (!shape.AsSpan().SequenceEqual(_checkpoint.Get(LogicalTensor.Weight, name).Shape))
            throw new DroverException(FailureCode.FailedPrecondition, "SHAPE_MISMATCH", $"Tensor '{name}' of '{_checkpoint.Prefix}' has the shape [{string.Join(", ", _checkpoint.Get(LogicalTensor.Weight, name).Shape)}], and its config calls for [{string.Join(", ", shape)}].");
        return _checkpoint.ReadAsync(LogicalTensor.Weight, name, box.Offset, box.Shape, target, cancellation);
    }
}
