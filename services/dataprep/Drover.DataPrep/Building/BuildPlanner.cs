using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Drover.DataPrep.Sources;
using Drover.Errors;
using Drover.Formats.Datasets;
using Drover.ObjectStore;
using Drover.Protocol.DataPrep.V1;
using Drover.Tokenization;

namespace Drover.DataPrep.Building;

/// <summary>
/// Reads every source once, for its digest and its line ends, and cuts the work into tasks: pieces in the order of the sources, until a
/// task has task_bytes. The plan is recorded under a fingerprint of spec, tokenizer and what the store says of the sources (key, size,
/// tag): who plans the same again finds it and reads nothing.
/// </summary>
internal sealed class BuildPlanner(IObjectStore store)
{
    private const int BufferBytes = 1 << 20;

    /// <summary>Plans a build, or finds the plan that was made before.</summary>
    /// <param name="spec">A checked spec with its defaults filled in.</param>
    /// <param name="files">Its source files.</param>
    /// <param name="tokenizer">Its tokenizer.</param>
    /// <param name="chatTemplate">The tokenizer's own, where the spec wants it.</param>
    /// <param name="extends">The dataset that is extended, with its manifest; or null.</param>
    /// <param name="progress">Told the bytes read so far.</param>
    /// <param name="cancellation">Stops the reading.</param>
    /// <exception cref="DroverException">InvalidArgument when two sources have the same content.</exception>
    public async Task<BuildPlan> PlanAsync(DatasetSpec spec, IReadOnlyList<ObjectInfo> files, ITextTokenizer tokenizer, string chatTemplate, (DatasetBase Base, DatasetManifest Manifest)? extends, Action<long> progress, CancellationToken cancellation)
    {
        string dataset = ObjectKey.Join("datasets", spec.Name);
        string planned = BuildKeys.Planned(dataset, Fingerprint(spec, files, tokenizer, chatTemplate, extends?.Base));
        if (await FindAsync(planned, cancellation).ConfigureAwait(false) is { } known)
            return known;

        (DatasetSource[] sources, List<PlannedPiece> pieces) = await ScanAsync(spec, files, progress, cancellation).ConfigureAwait(false);
        RefuseTwins(sources, extends);
        var plan = new BuildPlan
        {
            Dataset = dataset,
            Spec = DatasetSpecs.ToJson(spec),
            TokenizerHash = tokenizer.ContentHash,
            VocabularySize = tokenizer.VocabularySize,
            ChatTemplate = chatTemplate,
            Extends = extends?.Base,
            Sources = sources,
            Tasks = spec.Packing == Packing.Seed ? [new PlannedTask(pieces)] : Group(pieces, spec.TaskBytes),
            FirstTask = extends?.Manifest.TaskCount ?? 0,
        };
        BuildKeys keys = BuildKeys.Of(plan);
        await store.PutBytesAsync(keys.Plan, plan.ToJson(), PutCondition.None, cancellation).ConfigureAwait(false);
        await store.PutTextAsync(planned, keys.Folder, cancellation).ConfigureAwait(false);
        return plan;
    }

    /// <summary>The plan of a build's folder.</summary>
    /// <exception cref="DroverException">DataLoss; FailedPrecondition for a plan of another version of Drover.</exception>
    public async Task<BuildPlan> LoadAsync(BuildKeys keys, CancellationToken cancellation)
    {
        try
        {
            byte[] json = await store.ReadAllBytesAsync(keys.Plan, cancellation).ConfigureAwait(false);
            BuildPlan plan = JsonSerializer.Deserialize(json, BuildJson.Default.BuildPlan) ?? throw new JsonException("it is null");
            return plan.Version == BuildPlan.CurrentVersion
                ? plan
                : throw new DroverException(FailureCode.FailedPrecondition, "PLAN_VERSION", $"'{keys.Plan}' is of another version of Drover ({plan.Version}, this one is {BuildPlan.CurrentVersion}): run the service and its workers from one version.");
        }
        catch (JsonException e)
        {
            throw new DroverException(FailureCode.DataLoss, "DAMAGED_PLAN", $"'{keys.Plan}' is damaged: {e.Message}. Delete it, and build the dataset again.", e);
        }
    }

    private async Task<BuildPlan?> FindAsync(string planned, CancellationToken cancellation)
    {
        if (await store.FindAsync(planned, cancellation).ConfigureAwait(false) is null)
            return null;
        var keys = new BuildKeys(await store.ReadTextAsync(planned, cancellation).ConfigureAwait(false));
        try
        {
            return await LoadAsync(keys, cancellation).ConfigureAwait(false);
        }
        catch (DroverException e) when (e.Code is FailureCode.NotFound or FailureCode.FailedPrecondition or FailureCode.DataLoss)
        {
            return null;
        }
    }

    // As many files at once as there are cores; what comes of it does not depend on that.
    private async Task<(DatasetSource[] Sources, List<PlannedPiece> Pieces)> ScanAsync(DatasetSpec spec, IReadOnlyList<ObjectInfo> files, Action<long> progress, CancellationToken cancellation)
    {
        var sources = new DatasetSource[files.Count];
        var pieces = new List<PlannedPiece>[files.Count];
        long read = 0;
        await Parallel.ForAsync(0, files.Count, cancellation, async (i, token) =>
        {
            pieces[i] = [];
            var cutter = new SourceCutter(i, SourceFormat.Require(files[i].Key), spec.TextUnit, spec.TaskBytes, pieces[i]);
            sources[i] = await ScanAsync(files[i].Key, cutter, n => progress(Interlocked.Add(ref read, n)), token).ConfigureAwait(false);
        }).ConfigureAwait(false);
        return (sources, [.. pieces.SelectMany(p => p)]);
    }

    private async Task<DatasetSource> ScanAsync(string file, SourceCutter cutter, Action<long> progress, CancellationToken cancellation)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] buffer = new byte[BufferBytes];
        long total = 0;
        Stream stream = await store.OpenReadAsync(file, 0, null, cancellation).ConfigureAwait(false);
        await using (stream.ConfigureAwait(false))
        {
            for (int read; (read = await stream.ReadAsync(buffer, cancellation).ConfigureAwait(false)) > 0;)
            {
                hash.AppendData(buffer, 0, read);
                cutter.Take(buffer.AsSpan(0, read));
                total += read;
                progress(read);
            }
        }

        cutter.Finish();
        return new DatasetSource(file, total, Convert.ToHexStringLower(hash.GetHashAndReset()));
    }

    private static List<PlannedTask> Group(List<PlannedPiece> pieces, long taskBytes)
    {
        var tasks = new List<List<PlannedPiece>>();
        long size = 0;
        foreach (PlannedPiece piece in pieces)
        {
            if (tasks.Count == 0 || size + piece.Length > taskBytes)
            {
                tasks.Add([]);
                size = 0;
            }

            tasks[^1].Add(piece);
            size += piece.Length;
        }

        return [.. tasks.Select(t => new PlannedTask(t))];
    }

    // The same file under two names would count twice without anybody having said so; a mixture's weights say it.
    private static void RefuseTwins(IReadOnlyList<DatasetSource> sources, (DatasetBase Base, DatasetManifest Manifest)? extends)
    {
        var known = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (DatasetSource old in extends?.Manifest.Sources ?? [])
            known.TryAdd(old.Sha256, $"'{old.Key}' of '{extends!.Value.Base.Dataset}'");
        List<string> twins = [.. sources.Where(s => s.Bytes > 0 && !known.TryAdd(s.Sha256, $"'{s.Key}'")).Select(s => $"'{s.Key}' is {known[s.Sha256]}")];
        if (twins.Count > 0)
            throw new DroverException(FailureCode.InvalidArgument, "DUPLICATE_SOURCE", $"Sources have the same content: {string.Join("; ", twins)}. Name each once.");
    }

    private static string Fingerprint(DatasetSpec spec, IReadOnlyList<ObjectInfo> files, ITextTokenizer tokenizer, string chatTemplate, DatasetBase? extends)
    {
        var text = new StringBuilder($"{BuildPlan.CurrentVersion}\n{DatasetSpecs.ToJson(spec)}\n{tokenizer.ContentHash}\n{chatTemplate}\n{extends?.ManifestHash}\n");
        foreach (ObjectInfo file in files)
            text.Append(System.Globalization.CultureInfo.InvariantCulture, $"{file.Key} {file.Size} {file.Tag}\n");
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text.ToString())));
    }
}
