using System.Globalization;
using Drover.Errors;
using Drover.Protocol.Trainer.V1;

namespace Drover.Trainer;

/// <summary>What the ranks of a plan need of a machine, and whether it has that.</summary>
internal static class MemoryNeeds
{
    // The runtime, libtorch and its kernels, before anything is trained: 230 to 280 MB in the runs of benchmarks/results/2026-11-25-plan.md.
    private const long ProcessBytes = 280_000_000;

    // fp32 master weights and two moments, copied to be written while training goes on.
    private const long SavedBytesPerWeight = 12;

    /// <summary>The need of a plan.</summary>
    /// <param name="plan">With its ranks.</param>
    /// <param name="limitBytes">Of the spec; 0: what the machine has.</param>
    /// <param name="elsewhere">Ranks run on other machines.</param>
    /// <param name="onGpus">What is planned for devices lies in memory of GPUs, which is not counted.</param>
    public static MemoryNeed Of(TrainingPlan plan, long limitBytes, bool elsewhere, bool onGpus)
    {
        long BytesOf(RankPlan rank) => ProcessBytes + rank.HostBytes + (onGpus ? 0 : rank.DeviceBytes + rank.LogitsBytes);
        long needed = plan.RankPlans.Sum(BytesOf) + (SavedBytesPerWeight * plan.WeightCount);
        // How ranks are shared out among machines is not known here: what one rank needs must fit in any case.
        if (elsewhere)
            needed = plan.RankPlans.Max(BytesOf) + (SavedBytesPerWeight * plan.WeightCount / plan.Ranks);
        long limit = limitBytes > 0 ? limitBytes : elsewhere ? 0 : MachineBytes();
        return new MemoryNeed { NeededBytes = needed, LimitBytes = limit, Fits = limit == 0 || needed <= limit };
    }

    /// <summary>Refuses a plan that does not fit.</summary>
    /// <exception cref="DroverException">FailedPrecondition.</exception>
    public static void Require(TrainingPlan plan)
    {
        if (plan.Memory.Fits)
            return;
        RankPlan largest = plan.RankPlans.MaxBy(r => r.DeviceBytes + r.HostBytes)!;
        string classes = string.Join(", ", largest.Memory.GroupBy(m => m.MemoryClass).OrderByDescending(g => g.Sum(m => m.Bytes)).Take(3).Select(g => $"{g.Key.ToString().ToLowerInvariant()} {Gigabytes(g.Sum(m => m.Bytes))}"));
        throw new DroverException(FailureCode.FailedPrecondition, "DOES_NOT_FIT", $"The run '{plan.Run}' needs {Gigabytes(plan.Memory.NeededBytes)} and there are {Gigabytes(plan.Memory.LimitBytes)}; its largest rank holds {classes}, and the copy for a checkpoint is {Gigabytes(SavedBytesPerWeight * plan.WeightCount)} over all ranks. Use recompute, head_chunk_tokens, smaller micro_batch_rows, more machines or another layout; 'drover train plan --propose' looks for one. memory_limit_bytes sets the limit.");
    }

    /// <summary>Memory of this machine, or of the container that this process is in.</summary>
    public static long MachineBytes()
    {
        long total = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        foreach (string file in new[] { "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes" })
        {
            if (File.Exists(file) && long.TryParse(File.ReadAllText(file), CultureInfo.InvariantCulture, out long bytes))
                total = Math.Min(Math.Max(total, 0), bytes);
        }

        return total;
    }

    private static string Gigabytes(long bytes) => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1e9:0.##} GB");
}
