using System.Globalization;
using System.Text.Json;
using Drover.Testing;
using Drover.Trainer.Collectives;

namespace Drover.Trainer.Engine.Tests;

/// <summary>Strategies over Open MPI, ranks being processes: losses and gradient norms of 20 steps equal one rank's.</summary>
public class MpiStrategyTests
{
    private const int Steps = 20;
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(3);
    private static readonly Lazy<StepResult[]> OneRank = new(() => SmallRun.Run(SmallRun.Spec with { MicroBatchRows = 1 }, SmallRun.Config with { NumHiddenLayers = 5 }, Steps));

    private static readonly Dictionary<string, (int Ranks, ParallelSpec Spec)> Strategies = new(StringComparer.Ordinal)
    {
        ["ddp"] = (2, new ParallelSpec()),
        ["zero1"] = (2, new ParallelSpec { Placement = StatePlacement.Zero1 }),
        ["zero2 offload"] = (2, new ParallelSpec { Placement = StatePlacement.Zero2, OffloadOptimizer = true }),
        ["zero3 of 4"] = (4, new ParallelSpec { Placement = StatePlacement.Zero3 }),
        ["gemini"] = (2, new ParallelSpec { Placement = StatePlacement.Gemini, Gemini = new GeminiSpec { ChunkValues = 1500, Policy = GeminiPolicy.Auto, DeviceBudgetBytes = 400_000 } }),
        ["tp 2 x pp 2"] = (4, new ParallelSpec { TensorParallel = 2, PipelineParallel = 2 }),
        ["tp 2 x dp 2 zero1"] = (4, new ParallelSpec { TensorParallel = 2, Placement = StatePlacement.Zero1 }),
        ["pp 2 interleaved"] = (2, new ParallelSpec { PipelineParallel = 2, PartsPerRank = 2 }),
        ["split_gather"] = (2, new ParallelSpec { TensorParallel = 2, SequenceMode = SequenceMode.SplitGather }),
        ["ring 3"] = (3, new ParallelSpec { SequenceParallel = 3, SequenceMode = SequenceMode.Ring }),
        ["all_to_all"] = (2, new ParallelSpec { SequenceParallel = 2, SequenceMode = SequenceMode.AllToAll }),
    };

    public static TheoryData<string> Names() => [.. Strategies.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Ranks_as_processes_train_the_model_that_one_rank_trains(string strategy)
    {
        (int ranks, ParallelSpec spec) = Strategies[strategy];
        string output = await RunAsync(ranks, JsonSerializer.Serialize(spec), Steps.ToString(CultureInfo.InvariantCulture));
        double[][] steps = [.. output.Split('\n').Where(l => l.StartsWith("step ", StringComparison.Ordinal)).Select(l => l.Split(' ')[2..].Select(v => double.Parse(v, CultureInfo.InvariantCulture)).ToArray())];
        Assert.True(steps.Length == Steps, output);
        foreach ((StepResult expected, double[] actual) in OneRank.Value.Zip(steps))
        {
            Assert.Equal(expected.Loss, actual[0], 1e-5 * expected.Loss);
            Assert.Equal(expected.GradNorm, actual[1], 1e-4 * expected.GradNorm);
        }
    }

    private static async Task<string> RunAsync(int ranks, params string[] arguments)
    {
        Assert.SkipUnless(OpenMpi.IsAvailable(out string reason), reason);
        string here = AppContext.BaseDirectory.TrimEnd('/'), name = "Drover.Trainer.Engine.RankProgram";
        string program = Path.GetFullPath(Path.Combine(here, "..", "..", name, Path.GetFileName(here), name + ".dll"));
        return (await Mpirun.RunAsync(ranks, program, Limit, arguments)).Output;
    }
}
