using System.Collections.Concurrent;
using System.Globalization;
using System.Text.Json;
using Drover.Errors;
using Drover.Protocol.Trainer.V1;
using Drover.Trainer.Contract;

namespace Drover.Trainer;

/// <summary>
/// Predicts how fast runs would be: the ranks of a run measure steps of a small model under its layout, on this machine. What was measured
/// once is remembered until the service ends.
/// </summary>
internal sealed class SpeedPlans(WorkerLauncher launcher, AttemptFolders folders, TrainerOptions options) : IDisposable
{
    private readonly ConcurrentDictionary<string, CalibratedEvent> _known = new(StringComparer.Ordinal);

    // Two measurements at once would measure each other.
    private readonly SemaphoreSlim _one = new(1);

    /// <summary>Predicts runs that differ in how they are spread and cut; of the first, what is known already if it may not be measured.</summary>
    /// <param name="runs">Of one model, number of ranks, threads and precision.</param>
    /// <param name="mayMeasure">Else only what is known.</param>
    /// <param name="cancellation">Ends the measurement.</param>
    /// <returns>In the order of the runs.</returns>
    public async Task<IReadOnlyList<SpeedPlan>> PredictAsync(IReadOnlyList<PlannedRun> runs, bool mayMeasure, CancellationToken cancellation)
    {
        PlannedRun[] unknown = [.. runs.Where(r => !_known.ContainsKey(KeyOf(r)))];
        string missing = unknown.Length == 0 ? "" : mayMeasure ? CannotMeasure(runs[0].Spec) : "it was not measured";
        if (unknown.Length > 0 && missing.Length == 0)
            missing = await MeasureAsync(unknown, cancellation).ConfigureAwait(false);
        return [.. runs.Select(run => _known.TryGetValue(KeyOf(run), out CalibratedEvent? measured) ? Of(run, measured) : new SpeedPlan { Missing = missing })];
    }

    /// <inheritdoc />
    public void Dispose() => _one.Dispose();

    private string CannotMeasure(TrainingSpec spec)
    {
        int ranks = TrainingSpecs.Ranks(spec);
        if (ranks > 1 && launcher.FindMpirun() is null)
            return "this machine has no mpirun";
        return options.HostFile.Length == 0 && ranks > Environment.ProcessorCount ? $"{ranks} ranks cannot be measured on the {Environment.ProcessorCount} cores of this machine" : "";
    }

    private async Task<string> MeasureAsync(PlannedRun[] runs, CancellationToken cancellation)
    {
        await _one.WaitAsync(cancellation).ConfigureAwait(false);
        string folder = folders.Open(AttemptFolders.Calibrations);
        bool isWell = false;
        try
        {
            PlannedRun first = runs[0];
            WorkerSpec worker = TrainingSpecs.ForWorkers(launcher.NewSpec(folder), first.Spec, "", "") with
            {
                Train = null,
                Calibrate = new CalibrateSpec(first.Config.ToJson(), first.Rows.Tokens, first.Rows.Documents, first.Rows.LabelledPart, TrainingSpecs.RatesOf(first.Spec), first.Lora, LoraSpecs.HasBase(first.Spec), [.. runs.Select(CaseOf)]),
            };
            WorkerOutcome outcome = await launcher.RunAsync("calibrate", worker, TrainingSpecs.Ranks(first.Spec), update =>
            {
                if (update.Calibrated is { } measured)
                    _known[KeyOf(runs[measured.Case])] = measured;
                return Task.CompletedTask;
            }, cancellation).ConfigureAwait(false);
            isWell = outcome.ExitCode == 0;
            return isWell ? "" : $"the measurement ended early: {outcome.Why}";
        }
        catch (DroverException e)
        {
            return e.Message;
        }
        finally
        {
            if (isWell)
                folders.Discard(folder);
            else
                folders.Close(folder);
            _one.Release();
        }
    }

    private static SpeedPlan Of(PlannedRun run, CalibratedEvent measured)
    {
        Layout.LayoutSpec layout = TrainingPlans.LayoutOf(run.Spec, run.Config, run.Rows.Tokens, run.Lora);
        double seconds = Layout.StepPrediction.Seconds(layout, measured.Few, measured.More);
        // What a process takes beside what is planned, as the small model shows it.
        Layout.LayoutSpec small = layout with { Config = run.Config with { NumHiddenLayers = measured.More.Layers }, Parallel = layout.Parallel with { PipelineParallel = 1, PartsPerRank = 1 }, Ranks = layout.Ranks / layout.Parallel.PipelineParallel };
        long beside = Math.Max(0, measured.PeakResidentBytes - Layout.RankLayout.AllOf(small).Max(BytesOf));
        return new SpeedPlan
        {
            StepSeconds = seconds,
            TokensPerSecond = (double)run.Spec.GlobalBatchRows * run.Rows.Tokens / seconds,
            ResidentBytes = beside + Layout.RankLayout.AllOf(layout).Max(BytesOf),
        };
    }

    private static long BytesOf(Layout.RankLayout rank) => rank.Memory.Sum(m => m.Bytes) + rank.LogitsBytes;

    private static CalibrateCase CaseOf(PlannedRun run) => new(
        ParallelismSpecs.Resolve(run.Spec.Parallelism), run.Spec.GlobalBatchRows, TrainingSpecs.MicroBatchRows(run.Spec), ActivationSpecs.Resolve(run.Spec), run.Spec.HeadChunkTokens, TrainingSpecs.KindOf(run.Spec));

    private static string KeyOf(PlannedRun run) => string.Create(CultureInfo.InvariantCulture, $"{run.Config.ToJson()}|{run.Rows}|{run.Spec.Ranks}|{run.Spec.ThreadsPerRank}|{run.Spec.Precision}|{run.Spec.Device}|{run.Spec.EmbeddingsOnly}|{string.Join(' ', run.Spec.Frozen)}|{run.Spec.Lora}|{JsonSerializer.Serialize(CaseOf(run), WorkerSpecJson.Default.CalibrateCase)}");
}
