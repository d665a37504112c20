using System.Text.Json;
using System.Text.Json.Nodes;
using Drover.Formats.Adapters;
using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;

namespace Drover.Checkpoint.Exports;

/// <summary>
/// What an export writes, before anything is written: weights, texts, and the tokenizer's files that are copied. The export job writes it
/// to a folder; the Hub endpoint renders it as it is asked for.
/// </summary>
/// <param name="Lineage">drover.json.</param>
/// <param name="Weights">Weights and index.</param>
/// <param name="Tokenizer">Files to be copied.</param>
/// <param name="Texts">Small files in the order in which they are written: the last one makes the folder valid.</param>
internal sealed record ExportFolder(ExportLineage Lineage, WeightShards Weights, TokenizerFiles Tokenizer, IReadOnlyList<(string Name, string Text)> Texts)
{
    public const string GenerationConfigFile = "generation_config.json";
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    /// <summary>What a spec asks for of a checkpoint.</summary>
    /// <exception cref="Drover.Errors.DroverException">See <see cref="ExportContent.OfAsync"/> and <see cref="TokenizerFiles.FindAsync"/>.</exception>
    public static async Task<ExportFolder> OfAsync(IObjectStore store, ExportSpec spec, CheckpointReader checkpoint, CancellationToken cancellation)
    {
        TokenizerFiles tokenizer = await TokenizerFiles.FindAsync(store, spec.Tokenizer, checkpoint.ModelConfig.VocabSize, cancellation).ConfigureAwait(false);
        (string type, string name) = ExportRules.TypeOf(spec);
        LlamaConfig config = checkpoint.ModelConfig with { TorchDtype = name, Dtype = name };
        if (spec.Form != ExportForm.Adapter && !spec.KeepPadding)
            config = config with { VocabSize = tokenizer.RowsOf(config) };
        var weights = new WeightShards(await ExportContent.OfAsync(store, spec, checkpoint, config, cancellation).ConfigureAwait(false), type, ExportRules.ShardBytes(spec));
        ExportLineage lineage = LineageOf(spec, checkpoint, tokenizer) with { VocabSize = config.VocabSize < checkpoint.ModelConfig.VocabSize ? config.VocabSize : null };
        (string, string) card = (ModelCard.FileName, ModelCard.Of(spec, checkpoint, lineage));
        if (spec.Form == ExportForm.Adapter)
        {
            string baseModel = spec.AdapterBase.Length > 0 ? spec.AdapterBase : checkpoint.Manifest.Base?.Model ?? "";
            return new ExportFolder(lineage, weights, tokenizer, [card, (PeftConfig.FileName, PeftConfig.ToJson(checkpoint.Manifest.Adapter!, checkpoint.ModelConfig, baseModel))]);
        }

        return new ExportFolder(lineage, weights, tokenizer, [card, (GenerationConfigFile, GenerationConfig(config)), (LlamaConfig.FileName, config.ToJson())]);
    }

    private static ExportLineage LineageOf(ExportSpec spec, CheckpointReader checkpoint, TokenizerFiles tokenizer) => new()
    {
        Run = checkpoint.Manifest.Run,
        Step = checkpoint.Manifest.Step,
        Checkpoint = checkpoint.Prefix,
        ManifestHash = checkpoint.ManifestHash,
        Dataset = checkpoint.Manifest.Dataset,
        DatasetHash = checkpoint.Manifest.DatasetHash,
        TokenizerHash = checkpoint.Manifest.TokenizerHash,
        Tokenizer = tokenizer.Prefix,
        TokenizerFilesHash = tokenizer.Hash,
        DataType = ExportRules.TypeOf(spec).Transformers,
        MaxShardBytes = ExportRules.ShardBytes(spec),
        Base = checkpoint.Manifest.Base,
        Form = spec.Form == ExportForm.Adapter ? "adapter" : null,
        AdapterBase = spec.AdapterBase.Length > 0 ? spec.AdapterBase : null,
    };

    private static string GenerationConfig(LlamaConfig config)
    {
        var json = new JsonObject();
        if (config.BosTokenId is { } bos)
            json["bos_token_id"] = bos;
        if (config.EosTokenId is { ValueKind: not JsonValueKind.Null } eos)
            json["eos_token_id"] = JsonNode.Parse(eos.GetRawText());
        if (config.PadTokenId is { } pad)
            json["pad_token_id"] = pad;
        return json.ToJsonString(Indented) + "\n";
    }
}
