using Drover.Jobs;
using Drover.Protocol.Trainer.V1;

namespace Drover.Trainer;

/// <summary>Cores and memory that trainings share. Evaluations are short and small: they wait for a slot only.</summary>
internal static class TrainingCapacity
{
    /// <summary>What there is.</summary>
    public static JobCapacity Of(TrainerOptions options)
    {
        // How ranks lie on several machines is not known here.
        if (options.Cores < 0 || options.HostFile.Length > 0)
            return JobCapacity.Unlimited;
        return new JobCapacity(options.Cores > 0 ? options.Cores : Environment.ProcessorCount, MemoryNeeds.MachineBytes());
    }

    /// <summary>What a training holds while it runs.</summary>
    public static JobTerms Terms(JobTerms terms, TrainingSpec spec, TrainingPlan plan)
    {
        int ranks = TrainingSpecs.Ranks(spec);
        return terms with { Cores = ranks * TrainingSpecs.Threads(spec), MemoryBytes = plan.Memory.NeededBytes };
    }
}
