using System.Text.Json;
using Drover.DataPrep.Building;
using Drover.Formats.Datasets;
using Drover.ObjectStore;
using Drover.Protocol.DataPrep.V1;
using Drover.Testing;
using Drover.Tokenization;

namespace Drover.DataPrep.Tests;

/// <summary>Builds datasets in a folder without a service: the same plan, tasks and assembly.</summary>
internal sealed class BuildHarness : IDisposable
{
    public BuildHarness(ITextTokenizer? tokenizer = null)
    {
        Tokenizer = tokenizer ?? new ByteTokenizer();
        Store = new FolderObjectStore(Folder["objects"]);
        Tokenizers = new TokenizerCache((_, _) => Task.FromResult(Tokenizer));
        Tasks = new BuildTask(Store, Tokenizers, Folder["work"]);
    }

    public TemporaryFolder Folder { get; } = new();

    public ITextTokenizer Tokenizer { get; }

    public FolderObjectStore Store { get; }

    public TokenizerCache Tokenizers { get; }

    public BuildTask Tasks { get; }

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async Task PutAsync(string key, byte[] bytes) => await Store.PutBytesAsync(key, bytes, PutCondition.None, Cancellation);

    public async Task<BuildPlan> PlanAsync(DatasetSpec spec)
    {
        await PutAsync(spec.Tokenizer + "/tokenizer.json", [.. "{}"u8]);
        IReadOnlyList<ObjectInfo> files = await new SpecChecker(Store).CheckAsync(spec, Cancellation);
        return await new BuildPlanner(Store).PlanAsync(DatasetSpecs.Complete(spec), files, Tokenizer, "", null, _ => { }, Cancellation);
    }

    public async Task<List<CompletionRecord>> RunAsync(BuildPlan plan, TaskPhase phase = TaskPhase.Rows)
    {
        var records = new List<CompletionRecord>();
        for (int task = 0; task < plan.Tasks.Count; task++)
        {
            await Tasks.RunAsync(plan, phase, task, _ => { }, () => { }, Cancellation);
            records.Add((await CompletionRecord.FindAsync(Store, plan, phase, task, Cancellation))!);
        }

        return records;
    }

    /// <summary>Does all that a job does, and opens what came out.</summary>
    public async Task<PackedDataset> BuildAsync(DatasetSpec spec)
    {
        BuildPlan plan = await PlanAsync(spec);
        await new DatasetAssembler(Store).PublishAsync(plan, await RunAsync(plan), [], Cancellation);
        return await PackedDataset.OpenAsync(Store, plan.Dataset, Folder["cache"], Cancellation);
    }

    /// <summary>Entries of the rejects files, in order.</summary>
    public List<JsonElement> Rejects(string dataset = "datasets/d")
    {
        string folder = Path.Combine(Folder["objects"], dataset, "rejects");
        return !Directory.Exists(folder) ? [] : [.. Directory.EnumerateFiles(folder).Order(StringComparer.Ordinal).SelectMany(File.ReadLines).Select(l => JsonDocument.Parse(l).RootElement)];
    }

    /// <summary>Every object under a prefix with its bytes.</summary>
    public SortedDictionary<string, byte[]> Snapshot(string prefix)
    {
        string root = Folder["objects"];
        return new SortedDictionary<string, byte[]>(Directory.EnumerateFiles(Path.Combine(root, prefix), "*", SearchOption.AllDirectories)
            .ToDictionary(p => Path.GetRelativePath(root, p), File.ReadAllBytes), StringComparer.Ordinal);
    }

    public void Dispose()
    {
        Tokenizers.Dispose();
        Folder.Dispose();
    }
}
