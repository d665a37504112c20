using System.Collections.Concurrent;
using System.Text.Json;
using System.Text.Json.Nodes;
using Drover.Checkpoint.Models;
using Drover.Errors;
using Drover.Formats.Adapters;
using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.Jobs;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.Common.V1;

namespace Drover.Checkpoint.Exports;

/// <summary>
/// Renders a checkpoint as a Hugging Face folder. drover.json comes first and claims the name, config.json (of an adapter,
/// adapter_config.json) comes last and makes it a model; what a crash left is written again, what failed or was cancelled is taken away.
/// </summary>
internal sealed class ExportExecutor(IObjectStore store, ModelCatalog models) : JobExecutor<ExportSpec, Model>
{
    public const string JobKind = "export";
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    // Two exports to one name take turns: the second finds the first one's work, and neither takes away the other's files.
    private readonly ConcurrentDictionary<string, SemaphoreSlim> _turns = new(StringComparer.Ordinal);

    public override string Kind => JobKind;

    public override async Task<Model> RunAsync(JobContext job, ExportSpec spec, CancellationToken cancellation)
    {
        ExportRules.Check(spec);
        string prefix = ExportRules.PrefixOf(spec);
        CheckpointReader checkpoint = await CheckpointReader.OpenAsync(store, spec.Checkpoint, cancellation).ConfigureAwait(false);
        TokenizerFiles tokenizer = await TokenizerFiles.FindAsync(store, spec.Tokenizer, checkpoint.ModelConfig.VocabSize, cancellation).ConfigureAwait(false);
        if (spec.Tokenizer.Length == 0)
            job.Log(LogLine.Types.Severity.Warning, "No tokenizer was named: the folder will hold weights and config only.");
        SemaphoreSlim turn = _turns.GetOrAdd(prefix, _ => new SemaphoreSlim(1));
        await turn.WaitAsync(cancellation).ConfigureAwait(false);
        try
        {
            await ExportAsync(job, spec, prefix, checkpoint, tokenizer, cancellation).ConfigureAwait(false);
        }
        finally
        {
            turn.Release();
        }

        job.Report("digests", 0, 0, "files");
        return await models.GetAsync(prefix, cancellation).ConfigureAwait(false);
    }

    private async Task ExportAsync(JobContext job, ExportSpec spec, string prefix, CheckpointReader checkpoint, TokenizerFiles tokenizer, CancellationToken cancellation)
    {
        await ClaimAsync(prefix, LineageOf(spec, checkpoint, tokenizer), cancellation).ConfigureAwait(false);
        if (await store.FindAsync(ObjectKey.Join(prefix, ExportRules.LastFile(spec)), cancellation).ConfigureAwait(false) is not null)
            return;
        try
        {
            await WriteAsync(job, spec, prefix, checkpoint, tokenizer, cancellation).ConfigureAwait(false);
        }
        catch
        {
            await RemoveAsync(prefix).ConfigureAwait(false);
            throw;
        }
    }

    private async Task WriteAsync(JobContext job, ExportSpec spec, string prefix, CheckpointReader checkpoint, TokenizerFiles tokenizer, CancellationToken cancellation)
    {
        (string type, string name) = ExportRules.TypeOf(spec);
        var weights = new WeightShards(await ExportContent.OfAsync(store, spec, checkpoint, cancellation).ConfigureAwait(false), type, ExportRules.ShardBytes(spec));
        long total = weights.TotalBytes;
        await weights.WriteAsync(store, prefix, done => job.Report("weights", done, total, "bytes"), cancellation).ConfigureAwait(false);
        await tokenizer.CopyAsync(store, prefix, cancellation).ConfigureAwait(false);
        if (spec.Form == ExportForm.Adapter)
        {
            string baseModel = spec.AdapterBase.Length > 0 ? spec.AdapterBase : checkpoint.Manifest.Base?.Model ?? "";
            await store.PutTextAsync(ObjectKey.Join(prefix, PeftConfig.FileName), PeftConfig.ToJson(checkpoint.Manifest.Adapter!, checkpoint.ModelConfig, baseModel), cancellation).ConfigureAwait(false);
            return;
        }

        LlamaConfig config = checkpoint.ModelConfig with { TorchDtype = name, Dtype = name };
        await store.PutTextAsync(ObjectKey.Join(prefix, "generation_config.json"), GenerationConfig(config), cancellation).ConfigureAwait(false);
        await store.PutTextAsync(ObjectKey.Join(prefix, LlamaConfig.FileName), config.ToJson(), cancellation).ConfigureAwait(false);
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

    private async Task ClaimAsync(string prefix, ExportLineage lineage, CancellationToken cancellation)
    {
        string key = ObjectKey.Join(prefix, ExportLineage.FileName);
        string text = lineage.ToJson();
        if (await store.FindAsync(key, cancellation).ConfigureAwait(false) is null)
        {
            await foreach (ObjectInfo other in store.ListAsync(prefix + "/", cancellation).ConfigureAwait(false))
                throw Taken(prefix, $"it holds '{other.Key}', which no export wrote");
            try
            {
                await store.PutBytesAsync(key, System.Text.Encoding.UTF8.GetBytes(text), PutCondition.IfAbsent, cancellation).ConfigureAwait(false);
                return;
            }
            catch (DroverException e) when (e.Code == FailureCode.AlreadyExists)
            {
                // Claimed in the meantime: by whom is looked at below.
            }
        }

        if (await store.ReadTextAsync(key, cancellation).ConfigureAwait(false) != text)
            throw Taken(prefix, $"its {ExportLineage.FileName} says that it comes from another checkpoint, tokenizer or data type");
    }

    /// <summary>Takes away what was written, the claim last; also after a cancel.</summary>
    private async Task RemoveAsync(string prefix)
    {
        var keys = new List<string>();
        await foreach (ObjectInfo info in store.ListAsync(prefix + "/", CancellationToken.None).ConfigureAwait(false))
            keys.Add(info.Key);
        foreach (string key in keys.OrderBy(k => k.EndsWith("/" + ExportLineage.FileName, StringComparison.Ordinal)))
            await store.DeleteAsync(key, CancellationToken.None).ConfigureAwait(false);
    }

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

    private static DroverException Taken(string prefix, string why) =>
        new(FailureCode.AlreadyExists, "MODEL_EXISTS", $"'{prefix}' is taken: {why}. Export under another name.");
}
