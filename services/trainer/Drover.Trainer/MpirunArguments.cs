using System.Globalization;

namespace Drover.Trainer;

/// <summary>What mpirun is told: how many ranks, where, and on which cores.</summary>
internal static class MpirunArguments
{
    /// <summary>The arguments before the program.</summary>
    /// <param name="options">Of the service.</param>
    /// <param name="ranks">Processes.</param>
    /// <param name="threads">Of each.</param>
    /// <param name="cores">Of this machine.</param>
    /// <param name="variables">Of the environment, handed on to ranks on every machine.</param>
    public static IEnumerable<string> Of(TrainerOptions options, int ranks, int threads, int cores, IEnumerable<string> variables)
    {
        List<string> arguments = ["-n", Text(ranks), "--tag-output"];
        bool elsewhere = options.HostFile.Length > 0;
        if (elsewhere || !SingleCopy.IsAllowed("/proc"))
            arguments.AddRange(["--mca", "btl_vader_single_copy_mechanism", "none"]);
        if (elsewhere)
            arguments.AddRange(["--hostfile", Path.GetFullPath(options.HostFile)]);
        if (options.LaunchAgent.Length > 0)
            arguments.AddRange(["--mca", "plm_rsh_agent", options.LaunchAgent]);
        // On other machines the host file says how many slots there are, and mpirun refuses what does not fit.
        bool sharesCores = !elsewhere && (long)ranks * threads > cores;
        arguments.AddRange(options.Binding == RankBinding.Cores && !sharesCores
            ? ["--bind-to", "core", "--map-by", $"slot:PE={Text(threads)}"]
            : ["--oversubscribe", "--bind-to", "none", "--mca", "mpi_yield_when_idle", "1"]);
        foreach (string variable in variables)
            arguments.AddRange(["-x", variable]);
        return arguments;
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
