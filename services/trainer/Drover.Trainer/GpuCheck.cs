using Drover.Errors;
using Drover.Protocol.Trainer.V1;
using Drover.Trainer.Contract;

namespace Drover.Trainer;

/// <summary>Asks a worker whether ranks can compute on this machine's GPUs: the service itself has no libtorch.</summary>
internal sealed class GpuCheck(TrainerOptions options, WorkerLauncher launcher, AttemptFolders folders)
{
    /// <summary>Refuses a run on GPUs that this machine does not have. Of other machines (a host file) only their own ranks can tell.</summary>
    /// <exception cref="DroverException">FailedPrecondition, with what is missing and what to do.</exception>
    public async Task RequireAsync(TrainingSpec spec, CancellationToken cancellation)
    {
        if (options.HostFile.Length > 0)
            return;
        string folder = folders.Open(AttemptFolders.Devices);
        try
        {
            string? problem = null;
            WorkerSpec worker = launcher.NewSpec(folder) with { Precision = TrainingSpecs.NameOf(spec.Precision), Devices = new DevicesSpec(TrainingSpecs.Ranks(spec)) };
            WorkerOutcome outcome = await launcher.RunAsync("devices", worker, 1, update => Keep(update, ref problem), cancellation).ConfigureAwait(false);
            if (problem is null)
                throw outcome.ToException();
            if (problem.Length > 0)
                throw new DroverException(FailureCode.FailedPrecondition, "NO_CUDA", $"device is cuda, and {problem}");
        }
        finally
        {
            folders.Discard(folder);
        }
    }

    private static Task Keep(WorkerEvent update, ref string? problem)
    {
        problem = update.Devices?.Problem ?? problem;
        return Task.CompletedTask;
    }
}
