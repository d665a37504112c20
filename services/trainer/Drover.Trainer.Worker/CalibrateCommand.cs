using System.Diagnostics;
using Drover.Formats.HuggingFace;
using Drover.Trainer.Contract;
using Drover.Trainer.Engine;
using Drover.Trainer.Layout;
using Drover.Trainer.Parallelism;

namespace Drover.Trainer.Worker;

/// <summary>Measures what a plan's speed is predicted from: steps of small models under each layout that is asked about.</summary>
internal static class CalibrateCommand
{
    public static void Run(RankContext rank)
    {
        CalibrateSpec spec = rank.Spec.Calibrate!;
        var config = LlamaConfig.Parse(spec.ModelConfig, "the model's config");
        (int few, int more) = SpeedProbe.LayersFor(config.NumHiddenLayers);
        for (int i = 0; i < spec.Cases.Count; i++)
        {
            CalibrateCase one = spec.Cases[i];
            var engine = new EngineSpec
            {
                Device = rank.Device,
                Precision = EvaluateCommand.PrecisionOf(rank.Spec),
                GlobalBatchRows = one.GlobalBatchRows,
                MicroBatchRows = one.MicroBatchRows,
                Activations = one.Activations,
                Optimizer = new AdamWSpec { Kind = one.Optimizer },
                HeadChunkTokens = one.HeadChunkTokens,
                Parallel = one.Parallel,
                Rates = spec.Rates,
                Lora = spec.Lora,
                HasBase = spec.HasBase,
                Schedule = new ScheduleSpec { TotalSteps = 1000 },
                Threads = rank.Spec.Threads,
            };
            var rows = new RowShape(spec.RowTokens, spec.RowDocuments, spec.LabelledPart);
            MeasuredStep small = SpeedProbe.Measure(engine, config, few, rank.Collectives, rows), larger = SpeedProbe.Measure(engine, config, more, rank.Collectives, rows);
            double[] peak = [Process.GetCurrentProcess().PeakWorkingSet64];
            rank.Collectives.AllReduceMax(peak);
            rank.Events.Write(new WorkerEvent { Calibrated = new CalibratedEvent(i, small, larger, (long)peak[0]) });
        }
    }
}
