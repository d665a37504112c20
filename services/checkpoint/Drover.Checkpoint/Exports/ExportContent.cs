using Drover.Errors;
using Drover.Formats.Adapters;
using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.Formats.Weights;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;

namespace Drover.Checkpoint.Exports;

/// <summary>Which tensors an export writes, and under which names.</summary>
/// <param name="Tensors">Names and shapes as the model has them.</param>
/// <param name="Read">Reads them.</param>
/// <param name="SingleFile">The file, where one is enough.</param>
/// <param name="NamePrefix">What names in the file begin with.</param>
internal sealed record ExportContent(IReadOnlyList<(string Name, long[] Shape)> Tensors, TensorRead Read, string SingleFile, string NamePrefix)
{
    /// <summary>What a spec asks for of a checkpoint.</summary>
    /// <param name="store">The object store.</param>
    /// <param name="spec">What is asked for.</param>
    /// <param name="checkpoint">Of this one.</param>
    /// <param name="config">Of the model that is written: of the vocabulary it may have the first rows only.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="DroverException">FailedPrecondition when the run has no adapter, or its base is gone or changed.</exception>
    public static async Task<ExportContent> OfAsync(IObjectStore store, ExportSpec spec, CheckpointReader checkpoint, LlamaConfig config, CancellationToken cancellation)
    {
        CheckpointWeights weights = await CheckpointWeights.OpenAsync(store, checkpoint, cancellation).ConfigureAwait(false);
        // A tied head is not among them: files that alias tensors are refused by readers.
        if (spec.Form != ExportForm.Adapter)
        {
            var stored = LlamaTensors.All(weights.Config).ToDictionary(t => t.Name, t => t.Shape, StringComparer.Ordinal);
            return new ExportContent([.. LlamaTensors.All(config)], (name, _, box, target, c) => weights.ReadAsync(name, stored[name], box, target, c), HuggingFaceModel.SingleShard, "");
        }

        LoraSpec lora = checkpoint.Manifest.Adapter
            ?? throw new DroverException(FailureCode.FailedPrecondition, "NO_ADAPTER", $"The run of '{checkpoint.Prefix}' trained no adapter; only runs with lora can be exported as one. Export it merged.");
        return new ExportContent([.. AdapterTensors.All(lora, weights.Config)], weights.ReadStoredAsync, PeftConfig.WeightsFile, PeftConfig.Prefix);
    }
}
