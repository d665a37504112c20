using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Drover.Checkpoint.Models;
using Drover.Errors;
using Drover.Formats.HuggingFace;
using Drover.Jobs;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.Common.V1;

namespace Drover.Checkpoint.Imports;

/// <summary>
/// Fetches a model into the object store. import.json comes first, claims the name and holds the commit; config.json comes last and makes it
/// a model. A file that is there was checked before it got there: whatever ends an import, the next one goes on after it.
/// </summary>
internal sealed class ImportExecutor(IObjectStore store, ModelCatalog models, ImportRules rules) : JobExecutor<ImportSpec, Model>
{
    public const string JobKind = "import";
    private const int MostConfigBytes = 1 << 20;

    public override string Kind => JobKind;

    public override async Task<Model> RunAsync(JobContext job, ImportSpec spec, CancellationToken cancellation)
    {
        rules.Check(spec);
        string prefix = $"models/{spec.Name}", address = rules.AddressOf(spec);
        using IImportSource source = rules.Open(address, spec.Repository);
        var origin = new ImportOrigin(address, spec.Repository, spec.Revision.Length > 0 ? spec.Revision : ImportRules.Main, "");
        ImportOrigin? before = await FindOriginAsync(prefix, origin, cancellation).ConfigureAwait(false);
        SourceListing listing = await source.DescribeAsync(before?.Commit ?? origin.Revision, cancellation).ConfigureAwait(false);
        IReadOnlyList<SourceFile> files = listing.Chosen(spec.Repository);
        SourceFile last = files[^1];
        byte[] config = await ReadConfigAsync(source, listing.Commit, last, cancellation).ConfigureAwait(false);
        // Before gigabytes are fetched.
        if (last.Path == LlamaConfig.FileName)
            LlamaConfig.Parse(Encoding.UTF8.GetString(config), $"{last.Path} of '{spec.Repository}'");
        if (before is null)
            await ClaimAsync(prefix, origin with { Commit = listing.Commit }, cancellation).ConfigureAwait(false);
        if (await store.FindAsync(ObjectKey.Join(prefix, last.Path), cancellation).ConfigureAwait(false) is null)
        {
            await FetchAsync(job, prefix, source, listing.Commit, files, cancellation).ConfigureAwait(false);
            await store.PutBytesAsync(ObjectKey.Join(prefix, last.Path), config, PutCondition.None, cancellation).ConfigureAwait(false);
        }

        job.Report("reading back", 0, 0, "files");
        await CheckAsync(prefix, last.Path, cancellation).ConfigureAwait(false);
        return await models.GetAsync(prefix, cancellation).ConfigureAwait(false);
    }

    private async Task FetchAsync(JobContext job, string prefix, IImportSource source, string commit, IReadOnlyList<SourceFile> files, CancellationToken cancellation)
    {
        string[] withoutDigest = [.. files.Where(f => f.Sha256 is null && (f.GitBlob is null || f.Size is null)).Select(f => f.Path)];
        if (withoutDigest.Length > 0)
            job.Log(LogLine.Types.Severity.Info, $"The source tells no digest of {string.Join(", ", withoutDigest)}: of these the length is checked alone.");
        long total = files.Sum(f => f.Size ?? 0), done = 0;
        foreach (SourceFile file in files.SkipLast(1))
        {
            string key = ObjectKey.Join(prefix, file.Path);
            if (file.Size is { } size && await store.FindAsync(key, cancellation).ConfigureAwait(false) is { } there && there.Size == size)
            {
                done += size;
                continue;
            }

            Stream bytes = await source.OpenAsync(commit, file, count => job.Report("fetching", done += count, total, "bytes"), cancellation).ConfigureAwait(false);
            await using (bytes.ConfigureAwait(false))
                await store.PutAsync(key, bytes, PutCondition.None, cancellation).ConfigureAwait(false);
        }
    }

    private static async Task<byte[]> ReadConfigAsync(IImportSource source, string commit, SourceFile file, CancellationToken cancellation)
    {
        Stream bytes = await source.OpenAsync(commit, file, _ => { }, cancellation).ConfigureAwait(false);
        await using (bytes.ConfigureAwait(false))
        {
            byte[] buffer = new byte[MostConfigBytes + 1];
            int count = await bytes.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, cancellation).ConfigureAwait(false);
            return count <= MostConfigBytes ? buffer[..count] : throw new DroverException(FailureCode.InvalidArgument, "CONFIG_TOO_LARGE", $"'{file.Path}' has more than {MostConfigBytes} bytes.");
        }
    }

    /// <summary>Every tensor that the config calls for, in its shape; what has not is taken away again.</summary>
    private async Task CheckAsync(string prefix, string last, CancellationToken cancellation)
    {
        if (last != LlamaConfig.FileName)
            return;
        try
        {
            HuggingFaceModel model = await HuggingFaceModel.OpenAsync(store, prefix, cancellation).ConfigureAwait(false);
            foreach ((string name, long[] shape) in LlamaTensors.All(model.Config))
            {
                if (!model.Get(name).Shape.AsSpan().SequenceEqual(shape))
                    throw new DroverException(FailureCode.DataLoss, "SHAPE_MISMATCH", $"'{name}' of '{prefix}' has the shape [{string.Join(", ", model.Get(name).Shape)}], and its config.json calls for [{string.Join(", ", shape)}].");
            }
        }
        catch (DroverException e) when (e.Code is FailureCode.DataLoss or FailureCode.NotFound or FailureCode.InvalidArgument)
        {
            var keys = new List<string>();
            await foreach (ObjectInfo info in store.ListAsync(prefix + "/", CancellationToken.None).ConfigureAwait(false))
                keys.Add(info.Key);
            foreach (string key in keys.OrderByDescending(k => k.EndsWith("/" + last, StringComparison.Ordinal)))
                await store.DeleteAsync(key, CancellationToken.None).ConfigureAwait(false);
            throw;
        }
    }

    private async Task<ImportOrigin?> FindOriginAsync(string prefix, ImportOrigin asked, CancellationToken cancellation)
    {
        string key = ObjectKey.Join(prefix, ImportOrigin.FileName);
        if (await store.FindAsync(key, cancellation).ConfigureAwait(false) is null)
        {
            await foreach (ObjectInfo other in store.ListAsync(prefix + "/", cancellation).ConfigureAwait(false))
                throw Taken(prefix, $"it holds '{other.Key}', which no import wrote");
            return null;
        }

        ImportOrigin? there = ImportOrigin.Parse(await store.ReadAllBytesAsync(key, cancellation).ConfigureAwait(false));
        return there is not null && there with { Commit = "" } == asked ? there : throw Taken(prefix, $"its {ImportOrigin.FileName} says that it comes from {there}");
    }

    private async Task ClaimAsync(string prefix, ImportOrigin origin, CancellationToken cancellation)
    {
        try
        {
            await store.PutBytesAsync(ObjectKey.Join(prefix, ImportOrigin.FileName), origin.ToBytes(), PutCondition.IfAbsent, cancellation).ConfigureAwait(false);
        }
        catch (DroverException e) when (e.Code == FailureCode.AlreadyExists)
        {
            throw new DroverException(FailureCode.Aborted, "IMPORT_RUNNING", $"Another import began to fill '{prefix}' at the same moment. Wait for it, or import again.", e);
        }
    }

    private static DroverException Taken(string prefix, string why) =>
        new(FailureCode.AlreadyExists, "MODEL_EXISTS", $"'{prefix}' is taken: {why}. Import under another name, or delete that model.");
}

/// <summary><c>import.json</c>: where a model was fetched.</summary>
/// <param name="Address">Whose repository.</param>
/// <param name="Repository">Its name there.</param>
/// <param name="Revision">As it was asked for.</param>
/// <param name="Commit">What that stood for.</param>
internal sealed record ImportOrigin(string Address, string Repository, string Revision, string Commit)
{
    public const string FileName = "import.json";

    public static ImportOrigin? Parse(byte[] json)
    {
        try
        {
            return JsonSerializer.Deserialize(json, ImportOriginJson.Default.ImportOrigin);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, ImportOriginJson.Default.ImportOrigin);

    public override string ToString() => $"{Address}/{Repository} at {Revision}";
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true)]
[JsonSerializable(typeof(ImportOrigin))]
internal sealed partial class ImportOriginJson : JsonSerializerContext;
