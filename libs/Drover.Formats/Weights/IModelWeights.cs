using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.ObjectStore;

namespace Drover.Formats.Weights;

/// <summary>The weights of a model by name, fp32, whatever they lie in: a folder, a checkpoint, an adapter beside a model. Thread safe.</summary>
public interface IModelWeights
{
    /// <summary>The model.</summary>
    LlamaConfig Config { get; }

    /// <summary>The object-store prefix that they lie under.</summary>
    string Prefix { get; }

    /// <summary>What makes these weights these, by content: the same content has the same hash wherever it lies.</summary>
    Task<string> HashAsync(CancellationToken cancellation);

    /// <summary>Reads a box of a weight, row-major.</summary>
    /// <param name="name">Hugging Face name.</param>
    /// <param name="shape">Shape that the whole weight must have.</param>
    /// <param name="box">Which part of it.</param>
    /// <param name="target">As many values as the box has.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="DroverException">NotFound; FailedPrecondition for another shape or an unknown type; DataLoss.</exception>
    Task ReadAsync(string name, long[] shape, TensorBox box, Memory<float> target, CancellationToken cancellation);
}

/// <summary>Opens weights.</summary>
public static class ModelWeights
{
    /// <summary>Opens whichever lies under a prefix: a Hugging Face folder, or a checkpoint, with its adapters merged.</summary>
    /// <exception cref="DroverException">NotFound; FailedPrecondition where a checkpoint's base changed; DataLoss.</exception>
    public static async Task<IModelWeights> OpenAsync(IObjectStore store, string prefix, CancellationToken cancellation)
    {
        bool folder = await store.FindAsync(ObjectKey.Join(prefix, LlamaConfig.FileName), cancellation).ConfigureAwait(false) is not null;
        return folder || !prefix.Contains("/checkpoints/", StringComparison.Ordinal)
            ? new FolderWeights(store, await HuggingFaceModel.OpenAsync(store, prefix, cancellation).ConfigureAwait(false))
            : await CheckpointWeights.OpenAsync(store, await CheckpointReader.OpenAsync(store, prefix, cancellation).ConfigureAwait(false), cancellation).ConfigureAwait(false);
    }
}
