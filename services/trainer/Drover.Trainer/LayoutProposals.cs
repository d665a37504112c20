using Drover.Protocol.Trainer.V1;

namespace Drover.Trainer;

/// <summary>Other ways to spread a run over the same ranks. Those that do not fit are left out; those that look best are measured.</summary>
internal static class LayoutProposals
{
    private const int Measured = 5;
    private const int MostRows = 16;
    private const int MostTokens = 16_384;
    private const int ChunkTokens = 1024;
    private static readonly string[] Placements = ["ddp", "zero1", "zero2", "zero3"];

    /// <summary>The spec itself if it fits, and the ways that by a rough rule are fastest of those that fit.</summary>
    public static IReadOnlyList<PlannedRun> Of(PlannedRun run, bool elsewhere)
    {
        IEnumerable<PlannedRun> others = Candidates(run)
            .Where(spec => TrainingSpecs.PlanProblems(spec).Count == 0 && !ParallelismSpecs.Resolve(spec.Parallelism).Problems(run.Config, TrainingSpecs.Ranks(spec)).Any())
            .OrderBy(spec => Cost(spec, run.Rows.Tokens))
            .Select(spec => run with { Spec = spec, Plan = TrainingPlans.Of(spec, run.Config, run.Rows.Tokens, run.Lora, elsewhere) })
            .Where(r => r.Plan.Memory.Fits);
        return [.. (run.Plan.Memory.Fits ? new[] { run } : []).Concat(others).Take(Measured)];
    }

    /// <summary>For the answer, fastest first.</summary>
    public static IEnumerable<LayoutProposal> Describe(IReadOnlyList<PlannedRun> runs, IReadOnlyList<SpeedPlan> speeds) => runs.Zip(speeds)
        .Where(p => p.Second.Missing.Length == 0)
        .OrderByDescending(p => p.Second.TokensPerSecond)
        .Select(p => new LayoutProposal
        {
            Parallelism = p.First.Plan.Parallelism,
            MicroBatchRows = TrainingSpecs.MicroBatchRows(p.First.Spec),
            Recompute = ActivationSpecs.Resolve(p.First.Spec).Mode != Layout.RecomputeMode.None,
            HeadChunkTokens = p.First.Spec.HeadChunkTokens,
            TokensPerSecond = p.Second.TokensPerSecond,
            NeededBytes = p.First.Plan.Memory.NeededBytes,
        });

    private static IEnumerable<TrainingSpec> Candidates(PlannedRun run)
    {
        int ranks = TrainingSpecs.Ranks(run.Spec);
        int[] divisors = [.. Enumerable.Range(1, ranks).Where(n => ranks % n == 0)];
        return from tensor in divisors
               from pipeline in divisors.Where(n => ranks % (n * tensor) == 0)
               from placement in ranks / tensor / pipeline > 1 ? Placements : ["ddp"]
               from rows in Enumerable.Range(0, 5).Select(i => 1 << i).Where(n => n <= MostRows && (n == 1 || n * run.Rows.Tokens <= MostTokens))
               from recompute in new[] { false, true }
               select Changed(run.Spec, tensor, pipeline, placement, rows, recompute) into spec
               where !spec.Equals(run.Spec)
               select spec;
    }

    private static TrainingSpec Changed(TrainingSpec spec, int tensor, int pipeline, string placement, int rows, bool recompute)
    {
        TrainingSpec changed = spec.Clone();
        changed.Parallelism = new ParallelismSpec { Preset = placement, TensorParallel = tensor, PipelineParallel = pipeline };
        (changed.MicroBatchRows, changed.Recompute) = (rows, recompute);
        if (changed.Activations is { } activations)
            (activations.Recompute, activations.RecomputeBlocks) = (RecomputeMode.Unspecified, 0);
        if (changed.HeadChunkTokens == 0)
            changed.HeadChunkTokens = ChunkTokens;
        return changed;
    }

    // Which to measure, not how fast they are: recomputation costs a third, a pipeline its bubble, exchanges by how much they move, and
    // small products run slower.
    private static double Cost(TrainingSpec spec, int rowTokens)
    {
        Layout.ParallelSpec parallel = ParallelismSpecs.Resolve(spec.Parallelism);
        int replicas = parallel.DataParallel(TrainingSpecs.Ranks(spec)), rows = TrainingSpecs.MicroBatchRows(spec), microBatches = Math.Max(1, spec.GlobalBatchRows / (rows * replicas));
        double waits = parallel.PipelineParallel - 1.0;
        return (spec.Recompute ? 1.33 : 1)
            * (1 + (waits / microBatches) + (0.1 * waits))
            * (1 + (0.1 * (parallel.TensorParallel - 1)))
            * (1 + (0.02 * (int)parallel.Placement))
            * (1 + (100.0 / (rows * rowTokens)));
    }
}
