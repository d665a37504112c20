using System.Diagnostics;
using System.Text.Json.Nodes;
using Drover.Trainer.Collectives;
using Drover.Trainer.Engine;
using Drover.Trainer.Layout;
using Drover.Trainer.Model;

namespace Drover.Benchmarks;

/// <summary>
/// A plan beside what it plans, in one process: small models are measured, the run itself, and the small models again, since other work
/// on the machine comes and goes. Rank 0 prints one line of JSON: tokens per second and memory, planned and measured.
/// </summary>
internal static class PlanBenchmark
{
    public static Task<int> RunAsync(StepArguments arguments)
    {
        HostHeap.KeepFreedMemory();
        using ICollectives collectives = OpenMpi.StartedByMpirun ? OpenMpi.Join() : new SingleRank();
        EngineSpec spec = arguments.SpecFor(collectives.WorldSize);
        var shape = new RowShape(arguments.Length, 1, 1);
        LayoutSpec layout = arguments.LayoutFor(collectives.WorldSize);
        (int few, int more) = SpeedProbe.LayersFor(arguments.Config.NumHiddenLayers);
        MeasuredStep fewSteps = SpeedProbe.Measure(spec, arguments.Config, few, collectives, shape);
        MeasuredStep moreSteps = SpeedProbe.Measure(spec, arguments.Config, more, collectives, shape);
        long probed = Process.GetCurrentProcess().PeakWorkingSet64;
        long smallPlan = PlannedBytes(arguments.LayoutFor(collectives.WorldSize, more) with { Parallel = layout.Parallel with { PipelineParallel = 1, PartsPerRank = 1 }, Ranks = layout.Ranks / layout.Parallel.PipelineParallel }, collectives.Rank % (layout.Ranks / layout.Parallel.PipelineParallel));
        double first = StepPrediction.Seconds(layout, fewSteps, moreSteps);

        double measured = MeasureRun(arguments, spec, collectives, out long counted);
        long resident = Process.GetCurrentProcess().PeakWorkingSet64;
        fewSteps = SpeedProbe.Measure(spec, arguments.Config, few, collectives, shape);
        moreSteps = SpeedProbe.Measure(spec, arguments.Config, more, collectives, shape);
        double second = StepPrediction.Seconds(layout, fewSteps, moreSteps), planned = (first + second) / 2;

        double tokens = (double)spec.GlobalBatchRows * arguments.Length;
        long plannedBytes = PlannedBytes(layout, collectives.Rank);
        long plannedResident = plannedBytes + Math.Max(0, probed - smallPlan);
        double[] all = [plannedResident, resident, plannedBytes, counted];
        collectives.AllReduceMax(all);
        if (collectives.Rank == 0)
        {
            Console.WriteLine(new JsonObject
            {
                ["planned_tokens_per_second"] = Math.Round(tokens / planned, 1),
                ["measured_tokens_per_second"] = Math.Round(tokens / measured, 1),
                ["speed_error"] = Math.Round((measured / planned) - 1, 3),
                ["before_and_after"] = $"{tokens / first:0.0} {tokens / second:0.0}",
                ["planned_resident_mib"] = (long)all[0] >> 20,
                ["measured_resident_mib"] = (long)all[1] >> 20,
                ["resident_error"] = Math.Round((all[0] / all[1]) - 1, 3),
                ["planned_counted_mib"] = (long)all[2] >> 20,
                ["measured_counted_mib"] = (long)all[3] >> 20,
                ["counted_error"] = Math.Round((all[2] / all[3]) - 1, 3),
            }.ToJsonString());
        }

        collectives.Barrier();
        return Task.FromResult(0);
    }

    private static double MeasureRun(StepArguments arguments, EngineSpec spec, ICollectives collectives, out long counted)
    {
        using var engine = new TrainingEngine(spec, arguments.Config, collectives, new RandomRows(arguments.Config.VocabSize, arguments.Length, mixed: false));
        engine.LoadWeights((_, values) => values.Fill(0.01f));
        engine.Step();
        double[] seconds = [.. Enumerable.Range(1, arguments.Steps).Select(_ => engine.Step().Seconds).Order()];
        // The head's logits are not counted by ranks: both sides have the plan's.
        counted = engine.Memory.Lines.Sum(l => l.PeakBytes) + RankLayout.Of(arguments.LayoutFor(collectives.WorldSize), collectives.Rank).LogitsBytes;
        return seconds[seconds.Length / 2];
    }

    private static long PlannedBytes(LayoutSpec layout, int rank)
    {
        RankLayout planned = RankLayout.Of(layout, rank);
        return planned.Memory.Sum(m => m.Bytes) + planned.LogitsBytes;
    }
}
