using Drover.Errors;
using Drover.Trainer.Collectives;
using Drover.Trainer.Contract;
using TorchSharp;
using static TorchSharp.torch;

namespace Drover.Trainer.Worker;

/// <summary>
/// Where the ranks of a run compute: each on a GPU of its own, by its number among the ranks of its host, or all on the CPU. Tensors then go
/// through NCCL (or, of one rank, nowhere); host memory and small numbers stay with Open MPI.
/// </summary>
/// <remarks>Not run on a GPU yet: it is compiled, and what it says where there is none is tested.</remarks>
internal static class RankDevice
{
    private const int Ampere = 8;

    /// <summary>Chooses, the same on every rank. Every rank calls it.</summary>
    /// <param name="spec">Its device: "auto", "cpu" or "cuda".</param>
    /// <param name="ranks">All of them; what is returned takes its place and disposes it.</param>
    /// <param name="tell">Is told of a choice that was not given.</param>
    /// <exception cref="DroverException">FailedPrecondition where the device is "cuda" and a host does not have it.</exception>
    public static (Device Device, ICollectives Ranks) Choose(WorkerSpec spec, ICollectives ranks, Action<string> tell)
    {
        if (spec.Device == WorkerSpec.Cpu)
            return (CPU, ranks);
        int mine = Number("OMPI_COMM_WORLD_LOCAL_RANK", 0);
        string problem = Problem(spec.Precision, ranks.WorldSize, Number("OMPI_COMM_WORLD_LOCAL_SIZE", 1));
        if (spec.Device == WorkerSpec.Cuda && problem.Length > 0)
            throw Refusal($"on {Environment.MachineName}: {problem}");
        if (ranks.Max(problem.Length > 0 ? 1 : 0) > 0)
        {
            if (cuda.is_available())
                tell($"Computing on the CPU: {(problem.Length > 0 ? problem : "another host of the run has no GPU for each of its ranks")}");
            return (CPU, ranks);
        }

        tell(ranks.WorldSize == 1 ? "Computing on a GPU." : $"Computing on {ranks.WorldSize} GPUs, one a rank; tensors go through NCCL.");
        if (ranks.WorldSize > 1)
            return (new Device(DeviceType.CUDA, mine), Nccl.Join(ranks, mine));
        ranks.Dispose();
        return (new Device(DeviceType.CUDA, mine), SingleRank.WithGpu(mine));
    }

    /// <summary>Why ranks cannot compute on GPUs of this host, and what to do; empty where they can.</summary>
    /// <param name="precision">Of compute.</param>
    /// <param name="ranks">Of the run.</param>
    /// <param name="here">Of them, on this host.</param>
    public static string Problem(string precision, int ranks, int here)
    {
        if (!cuda.is_available())
            return "libtorch shows no CUDA: it has none unless the worker was built with -p:DroverCuda=true, and it needs a GPU with its driver (nvidia-smi). Train with device: cpu, or build it so.";
        int gpus = cuda.device_count();
        if (gpus < here)
            return $"there are {gpus} GPUs for {here} ranks, and each rank needs one of its own. Use {gpus} ranks on this host, or device: cpu.";
        if (ranks > 1 && !Nccl.IsAvailable(out string reason))
            return reason;
        if (precision != "fp32" && Enumerable.Range(0, here).Any(gpu => Gpus.ComputeCapability(gpu) < Ampere))
            return $"{precision} needs GPUs of compute capability 8.0 (Ampere) or later, and this host has an older one. Train in fp32.";
        return "";
    }

    /// <summary>The failure for a run that wants GPUs and cannot have them.</summary>
    public static DroverException Refusal(string problem) => new(FailureCode.FailedPrecondition, "NO_CUDA", $"device is cuda, and {problem}");

    private static int Number(string variable, int otherwise) => int.TryParse(Environment.GetEnvironmentVariable(variable), out int value) ? value : otherwise;
}
