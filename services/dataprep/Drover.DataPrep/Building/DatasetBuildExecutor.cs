using Drover.DataPrep.Conversations;
using Drover.DataPrep.Quality;
using Drover.Errors;
using Drover.Formats.Datasets;
using Drover.Jobs;
using Drover.ObjectStore;
using Drover.Protocol.Common.V1;
using Drover.Protocol.DataPrep.V1;
using Drover.Tokenization;

namespace Drover.DataPrep.Building;

/// <summary>Builds a dataset: plan, hand out tasks until all are done, publish. Run again, it goes on from what is done.</summary>
internal sealed class DatasetBuildExecutor(IObjectStore store, BuildCoordinator coordinator, TokenizerCache tokenizers, DataPrepFolders folders, TimeProvider time)
    : JobExecutor<DatasetSpec, Dataset>
{
    /// <summary>The kind of its jobs.</summary>
    public const string KindName = "dataset-build";

    private static readonly TimeSpan ReportInterval = TimeSpan.FromMilliseconds(500);

    public override string Kind => KindName;

    public override async Task<Dataset> RunAsync(JobContext job, DatasetSpec spec, CancellationToken cancellation)
    {
        BuildPlan plan = await PlanAsync(job, spec, cancellation).ConfigureAwait(false);
        var assembler = new DatasetAssembler(store);
        if (await FindSameAsync(plan, cancellation).ConfigureAwait(false) is { } existing)
        {
            await assembler.TidyAsync(plan, existing.Manifest, [], cancellation).ConfigureAwait(false);
            job.Log(LogLine.Types.Severity.Info, $"'{plan.Dataset}' was built from this spec before; nothing is done again.");
            return DatasetDescription.Of(plan.Dataset, existing.Manifest, existing.Hash);
        }

        List<string> signatures = [];
        if (plan.Deduplicates)
            signatures = await FindDuplicatesAsync(job, plan, cancellation).ConfigureAwait(false);
        List<CompletionRecord> records = await DoTasksAsync(job, plan, TaskPhase.Rows, "tokenizing", cancellation).ConfigureAwait(false);
        job.Report("publishing", 0, plan.Tasks.Count, "tasks");
        DatasetManifest manifest = await assembler.PublishAsync(plan, records, signatures, cancellation).ConfigureAwait(false);
        if (manifest.Rejects.Count > 0)
            job.Log(LogLine.Types.Severity.Warning, $"Not everything is in the rows: {DatasetAssembler.Reasons(manifest.Rejects)}; each is listed in '{ObjectKey.Join(plan.Dataset, "rejects")}'.");
        await ForgetAsync(plan, cancellation).ConfigureAwait(false);
        (manifest, string hash) = await PackedDataset.ReadManifestAsync(store, plan.Dataset, cancellation).ConfigureAwait(false);
        return DatasetDescription.Of(plan.Dataset, manifest, hash);
    }

    private async Task<BuildPlan> PlanAsync(JobContext job, DatasetSpec spec, CancellationToken cancellation)
    {
        IReadOnlyList<ObjectInfo> files = await new SpecChecker(store).CheckAsync(spec, cancellation).ConfigureAwait(false);
        DatasetSpec full = DatasetSpecs.Complete(spec);
        ITextTokenizer tokenizer = await tokenizers.LoadAsync(spec.Tokenizer, cancellation).ConfigureAwait(false);
        // What the spec wants and the tokenizer lacks is told before anything is read.
        string chatTemplate = full.ConversationTemplate == ConversationTemplates.Own ? await ChatTemplateFile.ReadAsync(store, spec.Tokenizer, cancellation).ConfigureAwait(false) : "";
        Documents.DocumentReaders.Create(full, tokenizer, chatTemplate);
        (DatasetBase, DatasetManifest)? extends = await BaseAsync(full, tokenizer, cancellation).ConfigureAwait(false);
        foreach (ObjectInfo empty in files.Where(f => f.Size == 0))
            job.Log(LogLine.Types.Severity.Warning, $"'{empty.Key}' is empty.");
        long total = files.Sum(f => f.Size);
        return await new BuildPlanner(store).PlanAsync(full, files, tokenizer, chatTemplate, extends, n => job.Report("planning", n, total, "bytes"), cancellation).ConfigureAwait(false);
    }

    private async Task<(DatasetBase, DatasetManifest)?> BaseAsync(DatasetSpec spec, ITextTokenizer tokenizer, CancellationToken cancellation)
    {
        if (spec.Extends.Length == 0)
            return null;
        (DatasetManifest manifest, string hash) = await PackedDataset.ReadManifestAsync(store, spec.Extends, cancellation).ConfigureAwait(false);
        if (manifest.TokenizerHash != tokenizer.ContentHash)
            throw new DroverException(FailureCode.FailedPrecondition, "TOKENIZER_MISMATCH", $"'{spec.Extends}' was built with another tokenizer than '{spec.Tokenizer}' is now. Extend it with its own.");
        return DatasetSpecs.Rules(DatasetSpec.Parser.ParseJson(manifest.Spec)).Equals(DatasetSpecs.Rules(spec))
            ? (new DatasetBase(spec.Extends, hash), manifest)
            : throw new DroverException(FailureCode.FailedPrecondition, "SPEC_MISMATCH", $"'{spec.Extends}' was built with other rules; a dataset is extended with the same ones, which its manifest.json shows under \"spec\".");
    }

    private async Task<(DatasetManifest Manifest, string Hash)?> FindSameAsync(BuildPlan plan, CancellationToken cancellation)
    {
        if (await store.FindAsync(ObjectKey.Join(plan.Dataset, DatasetManifest.FileName), cancellation).ConfigureAwait(false) is null)
            return null;
        (DatasetManifest manifest, string hash) = await PackedDataset.ReadManifestAsync(store, plan.Dataset, cancellation).ConfigureAwait(false);
        return manifest.SpecHash == plan.SpecHash ? (manifest, hash) : throw DatasetAssembler.DatasetExists(plan.Dataset);
    }

    private async Task<List<string>> FindDuplicatesAsync(JobContext job, BuildPlan plan, CancellationToken cancellation)
    {
        List<CompletionRecord> records = await DoTasksAsync(job, plan, TaskPhase.Signatures, "reading for duplicates", cancellation).ConfigureAwait(false);
        List<string> ours = [.. records.Select(r => r.Signatures!.File)];
        if (await store.FindAsync(BuildKeys.Of(plan).DuplicatesDone, cancellation).ConfigureAwait(false) is not null)
            return ours;
        job.Report("comparing documents", 0, 0, "documents");
        IReadOnlyList<string> before = [];
        if (plan.Extends is not null)
        {
            (DatasetManifest old, _) = await PackedDataset.ReadManifestAsync(store, plan.Extends.Dataset, cancellation).ConfigureAwait(false);
            before = [.. old.Signatures.Select(f => ObjectKey.Join(plan.Extends.Dataset, f))];
        }

        await new DuplicateFinder(store, plan, folders.Work).RunAsync(before, [.. ours.Select(f => ObjectKey.Join(plan.Dataset, f))], cancellation).ConfigureAwait(false);
        return ours;
    }

    private async Task<List<CompletionRecord>> DoTasksAsync(JobContext job, BuildPlan plan, TaskPhase phase, string stage, CancellationToken cancellation)
    {
        ActiveBuild build = await coordinator.StartAsync(plan, phase, cancellation).ConfigureAwait(false);
        try
        {
            await WaitAsync(job, build, stage, cancellation).ConfigureAwait(false);
        }
        finally
        {
            coordinator.End(build);
        }

        var records = new List<CompletionRecord>();
        for (int task = 0; task < plan.Tasks.Count; task++)
        {
            records.Add(await CompletionRecord.FindAsync(store, plan, phase, task, cancellation).ConfigureAwait(false)
                ?? throw new DroverException(FailureCode.Aborted, "TASK_UNDONE", $"Task {task} of '{plan.Dataset}' was done, and its files or record are gone now. Build it again."));
        }

        return records;
    }

    private async Task WaitAsync(JobContext job, ActiveBuild build, string stage, CancellationToken cancellation)
    {
        long total = build.Plan.Sources.Sum(s => s.Bytes);
        long started = time.GetTimestamp();
        long before = coordinator.Progress(build).Bytes;
        while (!build.Finished.IsCompleted)
        {
            TaskProgress done = coordinator.Progress(build);
            double rate = (done.Bytes - before) / Math.Max(1e-3, time.GetElapsedTime(started).TotalSeconds);
            job.Report(Describe(stage, done, total, rate));
            await Task.WhenAny(build.Finished, Task.Delay(ReportInterval, time, cancellation)).ConfigureAwait(false);
            cancellation.ThrowIfCancellationRequested();
        }

        await build.Finished.ConfigureAwait(false);
        TaskProgress all = coordinator.Progress(build);
        job.Report(Describe(stage, all with { Bytes = total }, total, (all.Bytes - before) / Math.Max(1e-3, time.GetElapsedTime(started).TotalSeconds)));
    }

    private static Progress Describe(string stage, TaskProgress done, long total, double rate)
    {
        var progress = new Progress { Stage = stage, Done = done.Bytes, Total = total, Unit = "bytes", Rate = rate };
        progress.Counts["documents"] = done.Documents;
        progress.Counts["tokens"] = done.Tokens;
        if (rate > 0)
            progress.RemainingSeconds = (long)Math.Ceiling((total - done.Bytes) / rate);
        return progress;
    }

    // The manifest stands, so the records have served; the plan stays, so that the same spec is recognised without reading its sources.
    private async Task ForgetAsync(BuildPlan plan, CancellationToken cancellation)
    {
        BuildKeys keys = BuildKeys.Of(plan);
        var leftovers = new List<string>();
        await foreach (ObjectInfo info in store.ListAsync(keys.Folder + "/", cancellation).ConfigureAwait(false))
        {
            if (info.Key != keys.Plan)
                leftovers.Add(info.Key);
        }

        foreach (string key in leftovers)
            await store.DeleteAsync(key, cancellation).ConfigureAwait(false);
    }
}
