using Drover.Errors;
using Drover.Formats.Datasets;
using Drover.Jobs;
using Drover.ObjectStore;
using Drover.Protocol.Common.V1;
using Drover.Protocol.DataPrep.V1;
using Drover.Tokenization;

namespace Drover.DataPrep.Building;

/// <summary>Builds a dataset: plan, hand out tasks until all are done, publish. Run again, it goes on from what is done.</summary>
internal sealed class DatasetBuildExecutor(IObjectStore store, BuildCoordinator coordinator, TokenizerCache tokenizers, TimeProvider time)
    : JobExecutor<DatasetSpec, Dataset>
{
    /// <summary>The kind of its jobs.</summary>
    public const string KindName = "dataset-build";

    private static readonly TimeSpan ReportInterval = TimeSpan.FromMilliseconds(500);

    public override string Kind => KindName;

    public override async Task<Dataset> RunAsync(JobContext job, DatasetSpec spec, CancellationToken cancellation)
    {
        IReadOnlyList<string> files = await new SpecChecker(store).CheckAsync(spec, cancellation).ConfigureAwait(false);
        ITextTokenizer tokenizer = await tokenizers.LoadAsync(spec.Tokenizer, cancellation).ConfigureAwait(false);
        BuildPlan plan = await new BuildPlanner(store).PlanAsync(spec, files, tokenizer, n => job.Report("planning", n, 0, "bytes"), cancellation).ConfigureAwait(false);
        if (await FindSameAsync(plan, cancellation).ConfigureAwait(false) is { } existing)
        {
            job.Log(LogLine.Types.Severity.Info, $"'{plan.Dataset}' was built from this spec before; nothing is done again.");
            return existing;
        }

        BuildKeys keys = BuildKeys.Of(plan);
        await store.PutBytesAsync(keys.Plan, plan.ToJson(), PutCondition.None, cancellation).ConfigureAwait(false);
        ActiveBuild build = await coordinator.StartAsync(plan, spec, cancellation).ConfigureAwait(false);
        try
        {
            await WaitAsync(job, build, cancellation).ConfigureAwait(false);
            List<CompletionRecord> records = await RecordsAsync(plan, cancellation).ConfigureAwait(false);
            if (DatasetAssembler.Reasons(records) is { Length: > 0 } reasons)
                job.Log(LogLine.Types.Severity.Warning, $"Not everything is in the rows: {reasons}; each is listed in '{ObjectKey.Join(plan.Dataset, "rejects")}'.");
            job.Report("publishing", 0, plan.Tasks.Count, "tasks");
            await new DatasetAssembler(store).PublishAsync(plan, records, cancellation).ConfigureAwait(false);
        }
        finally
        {
            coordinator.End(build);
        }

        await ForgetAsync(keys, cancellation).ConfigureAwait(false);
        (DatasetManifest manifest, string hash) = await PackedDataset.ReadManifestAsync(store, plan.Dataset, cancellation).ConfigureAwait(false);
        return DatasetAssembler.Describe(plan.Dataset, manifest, hash);
    }

    private async Task<Dataset?> FindSameAsync(BuildPlan plan, CancellationToken cancellation)
    {
        if (await store.FindAsync(ObjectKey.Join(plan.Dataset, DatasetManifest.FileName), cancellation).ConfigureAwait(false) is null)
            return null;
        (DatasetManifest manifest, string hash) = await PackedDataset.ReadManifestAsync(store, plan.Dataset, cancellation).ConfigureAwait(false);
        return manifest.SpecHash == plan.SpecHash
            ? DatasetAssembler.Describe(plan.Dataset, manifest, hash)
            : throw new DroverException(FailureCode.AlreadyExists, "DATASET_EXISTS",
                $"There is a dataset '{plan.Dataset}' already, of another spec, tokenizer or sources. Choose another name; a dataset never changes, because runs point to it.");
    }

    private async Task WaitAsync(JobContext job, ActiveBuild build, CancellationToken cancellation)
    {
        long total = build.Plan.Sources.Sum(s => s.Bytes);
        while (!build.Finished.IsCompleted)
        {
            job.Report("tokenizing", coordinator.DoneBytes(build), total, "bytes");
            await Task.WhenAny(build.Finished, Task.Delay(ReportInterval, time, cancellation)).ConfigureAwait(false);
            cancellation.ThrowIfCancellationRequested();
        }

        await build.Finished.ConfigureAwait(false);
        job.Report("tokenizing", total, total, "bytes");
    }

    private async Task<List<CompletionRecord>> RecordsAsync(BuildPlan plan, CancellationToken cancellation)
    {
        var records = new List<CompletionRecord>();
        for (int task = 0; task < plan.Tasks.Count; task++)
        {
            records.Add(await CompletionRecord.FindAsync(store, plan, task, cancellation).ConfigureAwait(false)
                ?? throw new DroverException(FailureCode.Aborted, "TASK_UNDONE", $"Task {task} of '{plan.Dataset}' was done, and its shard or record is gone now. Build it again."));
        }

        return records;
    }

    // The manifest stands, so the records have served.
    private async Task ForgetAsync(BuildKeys keys, CancellationToken cancellation)
    {
        var leftovers = new List<string>();
        await foreach (ObjectInfo info in store.ListAsync(keys.Folder + "/", cancellation).ConfigureAwait(false))
            leftovers.Add(info.Key);
        foreach (string key in leftovers)
            await store.DeleteAsync(key, cancellation).ConfigureAwait(false);
    }
}
