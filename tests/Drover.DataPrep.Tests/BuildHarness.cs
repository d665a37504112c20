using Drover.DataPrep.Building;
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
        IReadOnlyList<string> files = await new SpecChecker(Store).CheckAsync(spec, Cancellation);
        return await new BuildPlanner(Store).PlanAsync(spec, files, Tokenizer, _ => { }, Cancellation);
    }

    public async Task<List<CompletionRecord>> RunAsync(BuildPlan plan)
    {
        var records = new List<CompletionRecord>();
        for (int task = 0; task < plan.Tasks.Count; task++)
        {
            await Tasks.RunAsync(plan, task, _ => { }, Cancellation);
            records.Add((await CompletionRecord.FindAsync(Store, plan, task, Cancellation))!);
        }

        return records;
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
