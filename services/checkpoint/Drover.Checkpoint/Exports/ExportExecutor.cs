using System.Collections.Concurrent;
using Drover.Checkpoint.Models;
using Drover.Errors;
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

    // Two exports to one name take turns: the second finds the first one's work, and neither takes away the other's files.
    private readonly ConcurrentDictionary<string, SemaphoreSlim> _turns = new(StringComparer.Ordinal);

    public override string Kind => JobKind;

    public override async Task<Model> RunAsync(JobContext job, ExportSpec spec, CancellationToken cancellation)
    {
        ExportRules.Check(spec);
        string prefix = ExportRules.PrefixOf(spec);
        CheckpointReader checkpoint = await CheckpointReader.OpenAsync(store, spec.Checkpoint, cancellation).ConfigureAwait(false);
        ExportFolder folder = await ExportFolder.OfAsync(store, spec, checkpoint, cancellation).ConfigureAwait(false);
        if (spec.Tokenizer.Length == 0)
            job.Log(LogLine.Types.Severity.Warning, "No tokenizer was named: the folder will hold weights and config only.");
        SemaphoreSlim turn = _turns.GetOrAdd(prefix, _ => new SemaphoreSlim(1));
        await turn.WaitAsync(cancellation).ConfigureAwait(false);
        try
        {
            return await ExportAsync(job, spec, prefix, folder, cancellation).ConfigureAwait(false);
        }
        finally
        {
            turn.Release();
        }
    }

    private async Task<Model> ExportAsync(JobContext job, ExportSpec spec, string prefix, ExportFolder folder, CancellationToken cancellation)
    {
        await ClaimAsync(prefix, folder.Lineage, cancellation).ConfigureAwait(false);
        if (await store.FindAsync(ObjectKey.Join(prefix, ExportRules.LastFile(spec)), cancellation).ConfigureAwait(false) is not null)
            return await models.GetAsync(prefix, cancellation).ConfigureAwait(false);
        try
        {
            long total = folder.Weights.TotalBytes;
            IReadOnlyDictionary<string, string> written = await folder.Weights.WriteAsync(store, prefix, done => job.Report("weights", done, total, "bytes"), cancellation).ConfigureAwait(false);
            await folder.Tokenizer.CopyAsync(store, prefix, cancellation).ConfigureAwait(false);
            foreach ((string name, string text) in folder.Texts)
                await store.PutTextAsync(ObjectKey.Join(prefix, name), text, cancellation).ConfigureAwait(false);
            job.Report("reading back", 0, 0, "files");
            return await ReadBackAsync(spec, prefix, written, cancellation).ConfigureAwait(false);
        }
        catch
        {
            await RemoveAsync(prefix).ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>What was written, as any reader finds it: every file's bytes, and a model whose tensors are all there.</summary>
    private async Task<Model> ReadBackAsync(ExportSpec spec, string prefix, IReadOnlyDictionary<string, string> written, CancellationToken cancellation)
    {
        Model model = await models.GetAsync(prefix, cancellation).ConfigureAwait(false);
        foreach ((string file, string sha256) in written)
        {
            if (model.Files.FirstOrDefault(f => f.Path == file)?.Sha256 != sha256)
                throw new DroverException(FailureCode.DataLoss, "EXPORT_DAMAGED", $"'{prefix}/{file}' does not read as it was written: the object store changed its bytes. Nothing was kept; export again, and look at the store.");
        }

        if (spec.Form != ExportForm.Adapter)
        {
            HuggingFaceModel read = await HuggingFaceModel.OpenAsync(store, prefix, cancellation).ConfigureAwait(false);
            foreach ((string name, long[] shape) in LlamaTensors.All(read.Config))
            {
                if (!read.Get(name).Shape.AsSpan().SequenceEqual(shape))
                    throw new DroverException(FailureCode.Internal, "EXPORT_SHAPE", $"'{prefix}' holds '{name}' with another shape than its config.json says.");
            }
        }

        return model;
    }

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

    private static DroverException Taken(string prefix, string why) =>
        new(FailureCode.AlreadyExists, "MODEL_EXISTS", $"'{prefix}' is taken: {why}. Export under another name.");
}
