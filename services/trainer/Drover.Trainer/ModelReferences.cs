using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.Formats.Datasets;
using Drover.Formats.HuggingFace;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.Trainer.V1;
using Drover.Tokenization;
using Google.Protobuf;

namespace Drover.Trainer;

/// <summary>What a reference to a model means: a model folder, a checkpoint, or a run, whose newest or best checkpoint it is; and its tokenizer.</summary>
internal sealed class ModelReferences(IObjectStore store, CheckpointPublisher checkpoints)
{
    private const string Latest = "latest";
    private const string Best = "best";
    private static readonly JsonParser Specs = new(JsonParser.Settings.Default.WithIgnoreUnknownFields(true));

    /// <summary>The object-store prefix of a model folder or a checkpoint.</summary>
    /// <exception cref="DroverException">NotFound, naming what is not there.</exception>
    public async Task<string> ResolveAsync(string reference, CancellationToken cancellation)
    {
        string[] parts = reference.Split('/');
        if (parts is ["runs", _, Best])
        {
            Checkpoint? best = await checkpoints.FindBestAsync(parts[1], cancellation).ConfigureAwait(false);
            return best?.Name ?? throw new DroverException(FailureCode.NotFound, "CHECKPOINT_NOT_FOUND", $"The run '{parts[1]}' has no best checkpoint: it was not evaluated on held-out data (held_out).");
        }

        if (parts is not (["runs", _] or ["runs", _, Latest]))
            return reference;
        string run = parts[1];
        Checkpoint latest = await checkpoints.FindLatestAsync(run, cancellation).ConfigureAwait(false)
            ?? throw new DroverException(FailureCode.NotFound, "CHECKPOINT_NOT_FOUND", $"The run '{run}' has no checkpoint yet.");
        return latest.Name;
    }

    /// <summary>The tokenizer's folder of a resolved model.</summary>
    /// <param name="model">A model folder or a checkpoint.</param>
    /// <param name="given">What the caller says it is; empty to look for it.</param>
    /// <param name="cancellation">Ends the call.</param>
    /// <exception cref="DroverException">NotFound; FailedPrecondition where it is not the one that the checkpoint was trained with.</exception>
    public async Task<string> TokenizerOfAsync(string model, string given, CancellationToken cancellation)
    {
        if (!model.Contains("/checkpoints/", StringComparison.Ordinal))
        {
            await HuggingFaceModel.OpenAsync(store, model, cancellation).ConfigureAwait(false);
            return given.Length > 0 ? given : model;
        }

        CheckpointManifest manifest = (await CheckpointReader.OpenAsync(store, model, cancellation).ConfigureAwait(false)).Manifest;
        string tokenizer = given.Length > 0 ? given : await NamedByAsync(manifest, cancellation).ConfigureAwait(false);
        ITextTokenizer loaded = await TokenizerFolder.LoadAsync(store, tokenizer, cancellation).ConfigureAwait(false);
        if (manifest.TokenizerHash.Length > 0 && manifest.TokenizerHash != loaded.ContentHash)
            throw new DroverException(FailureCode.FailedPrecondition, "TOKENIZER_MISMATCH", $"The checkpoint '{model}' was trained on a dataset of another tokenizer than '{tokenizer}'. Name the one that made it: tokenizer.");
        return tokenizer;
    }

    private async Task<string> NamedByAsync(CheckpointManifest manifest, CancellationToken cancellation)
    {
        TrainingSpec spec = Specs.Parse<TrainingSpec>(manifest.RunSpec);
        if (spec.Tokenizer.Length > 0)
            return spec.Tokenizer;
        if (spec.InitialCase == TrainingSpec.InitialOneofCase.BaseModel && await HuggingFaceTokenizer.IsInAsync(store, spec.BaseModel, cancellation).ConfigureAwait(false))
            return spec.BaseModel;
        return (await PackedDataset.ReadManifestAsync(store, manifest.Dataset, cancellation).ConfigureAwait(false)).Manifest.Tokenizer;
    }
}
