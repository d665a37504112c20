using Drover.Formats.Adapters;
using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.Formats.Weights;
using Drover.ObjectStore;
using Drover.Trainer.Engine;

namespace Drover.Trainer.Worker;

/// <summary>Where weights come from: a Hugging Face folder or a checkpoint.</summary>
/// <param name="Config">The model.</param>
/// <param name="Read">Fills tensors; reads the store on the calling thread.</param>
internal sealed record ModelSource(LlamaConfig Config, StateReader Read)
{
    private const long ChunkValues = 1 << 20;

    /// <summary>Opens whichever of the two lies under the prefix; adapters of a checkpoint are merged.</summary>
    public static async Task<ModelSource> OpenAsync(IObjectStore store, string prefix)
    {
        IModelWeights weights = await ModelWeights.OpenAsync(store, prefix, CancellationToken.None).ConfigureAwait(false);
        return new ModelSource(weights.Config, ReaderOf(weights.ReadAsync));
    }

    /// <summary>The state of a run as it was saved: adapters apart, and frozen weights from the base.</summary>
    public static StateReader StateOf(CheckpointReader checkpoint, CheckpointWeights weights)
    {
        StateReader stored = ReaderOf(weights.ReadStoredAsync);
        return (slice, destination) =>
        {
            if (slice.Kind == LogicalTensor.Weight)
                stored(slice, destination);
            else
                ReaderOf((name, _, box, target, cancellation) => checkpoint.ReadAsync(slice.Kind, name, box.Offset, box.Shape, target, cancellation))(slice, destination);
        };
    }

    /// <summary>Some rows at a time: a tensor may be large, and what is read goes through a buffer.</summary>
    public static StateReader ReaderOf(TensorRead read) => (slice, destination) =>
    {
        long row = slice.Count / Math.Max(1, slice.Shape[0]), rows = Math.Max(1, ChunkValues / Math.Max(1, row));
        float[] buffer = new float[Math.Min(rows, slice.Shape[0]) * row];
        for (long first = 0; first < slice.Shape[0]; first += rows)
        {
            long[] offset = [slice.Offset[0] + first, .. slice.Offset[1..]], shape = [Math.Min(rows, slice.Shape[0] - first), .. slice.Shape[1..]];
            Memory<float> part = buffer.AsMemory(0, (int)(shape[0] * row));
            read(slice.Name, slice.GlobalShape, new TensorBox(offset, shape), part, CancellationToken.None).GetAwaiter().GetResult();
            part.Span.CopyTo(destination[(int)(first * row)..]);
        }
    };
}
