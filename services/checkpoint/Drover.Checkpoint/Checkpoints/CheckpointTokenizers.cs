using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.Formats.Datasets;
using Drover.Formats.HuggingFace;
using Drover.ObjectStore;
using Drover.Protocol.Trainer.V1;
using Google.Protobuf;

namespace Drover.Checkpoint.Checkpoints;

/// <summary>Which tokenizer a run was trained with, by what its manifest says.</summary>
internal sealed class CheckpointTokenizers(IObjectStore store)
{
    private static readonly JsonParser Specs = new(JsonParser.Settings.Default.WithIgnoreUnknownFields(true));

    /// <summary>The first of tokenizer, base model and the dataset's tokenizer that is there; empty where none is.</summary>
    public async Task<string> FindAsync(CheckpointManifest manifest, CancellationToken cancellation)
    {
        foreach (string prefix in await NamedAsync(manifest, cancellation).ConfigureAwait(false))
        {
            if (prefix.Length > 0 && await HuggingFaceTokenizer.IsInAsync(store, prefix, cancellation).ConfigureAwait(false))
                return prefix;
        }

        return "";
    }

    private async Task<string[]> NamedAsync(CheckpointManifest manifest, CancellationToken cancellation)
    {
        TrainingSpec spec;
        try
        {
            spec = Specs.Parse<TrainingSpec>(manifest.RunSpec);
        }
        catch (InvalidProtocolBufferException)
        {
            spec = new TrainingSpec();
        }

        string ofDataset = "";
        try
        {
            ofDataset = (await PackedDataset.ReadManifestAsync(store, manifest.Dataset, cancellation).ConfigureAwait(false)).Manifest.Tokenizer;
        }
        catch (DroverException)
        {
            // The dataset is gone: what the spec names is left.
        }

        return [spec.Tokenizer, spec.BaseModel, ofDataset];
    }
}
