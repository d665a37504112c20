using System.Diagnostics;
using System.Text.Json.Nodes;
using Drover.Trainer.Collectives;
using Drover.Trainer.Engine;
using Drover.Trainer.Layout;
using Drover.Trainer.Model;

namespace Drover.Benchmarks;

/// <summary>
/// A plan beside what it plans. Of what=speed the small models that a prediction starts from and the run itself take turns, step by step, since other
/// work on the machine comes and goes. Of what=memory only the small models run and tell what would be resident; of what=resident only the
/// run, as a process of its own. Rank 0 prints one line of JSON.
/// </summary>
internal static class PlanBenchmark
{
    public static Task<int> RunAsync(StepArguments arguments)
    {
        HostHeap.KeepFreedMemory();
        using ICollectives collectives = OpenMpi.StartedByMpirun ? OpenMpi.Join() : new SingleRank();
        JsonObject report = arguments.What switch
        {
            "speed" => Speed(arguments, collectives),
            "memory" => PlanMemory(arguments, collectives),
            _ => MeasureMemory(arguments, collectives),
        };
        if (collectives.Rank == 0)
            Console.WriteLine(report.ToJsonString());
        collectives.Barrier();
        return Task.FromResult(0);
    }

    private static JsonObject Speed(StepArguments arguments, ICollectives collectives)
    {
        EngineSpec spec = arguments.SpecFor(collectives.WorldSize);
        (int few, int more) = SpeedProbe.LayersFor(arguments.Config.NumHiddenLayers);
        using SpeedProbe small = Probe(arguments, few, collectives), larger = Probe(arguments, more, collectives);
        using TrainingEngine engine = Run(arguments, spec, collectives);
        var seconds = new List<double>();
        for (int i = 1; i < arguments.Steps; i++)
        {
            small.Step();
            larger.Step();
            seconds.Add(engine.Step().Seconds);
        }

        double measured = seconds.Order().ElementAt(seconds.Count / 2), planned = StepPrediction.Seconds(arguments.LayoutFor(collectives.WorldSize), small.Result, larger.Result);
        double tokens = (double)spec.GlobalBatchRows * arguments.Length;
        return new JsonObject
        {
            ["planned_tokens_per_second"] = Math.Round(tokens / planned, 1),
            ["measured_tokens_per_second"] = Math.Round(tokens / measured, 1),
            ["error"] = Math.Round((measured / planned) - 1, 3),
        };
    }

    private static JsonObject PlanMemory(StepArguments arguments, ICollectives collectives)
    {
        (int few, int more) = SpeedProbe.LayersFor(arguments.Config.NumHiddenLayers);
        var peaks = new List<double>();
        foreach (int layers in new[] { few, more })
        {
            using SpeedProbe probe = Probe(arguments, layers, collectives);
            probe.Step();
            probe.Step();
            peaks.Add(collectives.Max(Process.GetCurrentProcess().PeakWorkingSet64));
        }

        LayoutSpec layout = arguments.LayoutFor(collectives.WorldSize);
        LayoutSpec stage = arguments.LayoutFor(collectives.WorldSize, more) with { Parallel = layout.Parallel with { PipelineParallel = 1, PartsPerRank = 1 }, Ranks = layout.Ranks / layout.Parallel.PipelineParallel };
        double beside = collectives.Max(Process.GetCurrentProcess().PeakWorkingSet64) - RankLayout.AllOf(stage).Max(BytesOf), counted = RankLayout.AllOf(layout).Max(r => r.Memory.Sum(m => m.Bytes));
        return new JsonObject { ["planned_mib"] = (long)counted >> 20, ["peaks"] = string.Join(' ', peaks.Select(p => (long)p >> 20)), ["by_slope"] = (long)(peaks[1] + ((peaks[1] - peaks[0]) / (more - few) * (arguments.Config.NumHiddenLayers - more))) >> 20, ["planned_resident_mib"] = (long)(beside + RankLayout.AllOf(layout).Max(BytesOf)) >> 20 };
    }

    private static JsonObject MeasureMemory(StepArguments arguments, ICollectives collectives)
    {
        using TrainingEngine engine = Run(arguments, arguments.SpecFor(collectives.WorldSize), collectives);
        engine.Step();
        double resident = collectives.Max(Process.GetCurrentProcess().PeakWorkingSet64), counted = collectives.Max(engine.Memory.Lines.Sum(l => l.PeakBytes));
        return new JsonObject { ["measured_mib"] = (long)counted >> 20, ["measured_resident_mib"] = (long)resident >> 20 };
    }

    private static SpeedProbe Probe(StepArguments arguments, int layers, ICollectives collectives) =>
        new(arguments.SpecFor(collectives.WorldSize), arguments.Config, layers, collectives, new RowShape(arguments.Length, 1, 1));

    private static TrainingEngine Run(StepArguments arguments, EngineSpec spec, ICollectives collectives)
    {
        var engine = new TrainingEngine(spec, arguments.Config, collectives, new RandomRows(arguments.Config.VocabSize, arguments.Length, mixed: false));
        engine.LoadWeights((slice, values) => values.Fill(slice.Shape.Length == 1 ? 1 : 0.01f));
        engine.Step();
        return engine;
    }

    private static long BytesOf(RankLayout rank) => rank.Memory.Sum(m => m.Bytes) + rank.LogitsBytes;
}
