using Drover.Trainer.Collectives;
namespace Drover.Trainer.Engine.Tests;
public class Figures
{
    [Fact]
    public void Table()
    {
        foreach ((int ranks, int pp, bool recompute) in new[] { (1, 1, false), (1, 1, true), (2, 1, false), (2, 1, true), (2, 2, false) })
        {
            foreach (long budget in new long[] { 100, 150, 200, 250, 300, 320, 350, 400, 500, 700, 1200, 2000 })
            {
                var spec = SmallRun.Spec with { MicroBatchRows = 1, Recompute = recompute, HeadChunkTokens = 16, Parallel = new ParallelSpec { PipelineParallel = pp, Placement = StatePlacement.Gemini, Gemini = new GeminiSpec { ChunkValues = 1500, Policy = GeminiPolicy.Auto, DeviceBudgetBytes = budget * 1000 } } };
                try
                {
                    ThreadRanks.Run(ranks, c =>
                    {
                        using var engine = SmallRun.Engine(spec, SmallRun.Config with { NumHiddenLayers = 5 }, c);
                        for (int i = 0; i < 6; i++)
                            engine.Step();
                        if (c.Rank == 0)
                            Console.WriteLine($"{ranks} pp {pp} recompute {recompute} {budget}K: peak {engine.Memory.DevicePeakBytes} others {engine.Gemini!.PeakOfOthersBytes} evictions {engine.Gemini.Evictions} toDevice {engine.Gemini.ToDevice} toHost {engine.Gemini.ToHost} | {string.Join(" ", engine.Gemini.Traffic.Select(t => $"{t.Kind} {t.ToDevice} {t.ToHost}"))}");
                    });
                }
                catch (Drover.Errors.DroverException e)
                {
                    Console.WriteLine($"{ranks} pp {pp} recompute {recompute} {budget}K: {e.Message}");
                }
            }
        }
    }
}
