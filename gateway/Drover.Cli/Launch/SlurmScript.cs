using System.Globalization;
using Drover.Errors;
using Drover.Protocol.Trainer.V1;

namespace Drover.Cli.Launch;

/// <summary>What is asked of Slurm.</summary>
/// <param name="Nodes">Machines.</param>
/// <param name="Time">Longest time.</param>
/// <param name="Partition">Or null for Slurm's own choice.</param>
/// <param name="DataFolder">Seen by every node under this path.</param>
internal sealed record SlurmOptions(int Nodes, string Time, string? Partition, string DataFolder);

/// <summary>
/// A batch script that trains one run in a Slurm allocation: Drover is started on the first node, its mpirun starts the ranks on all of
/// them (Open MPI finds the allocation by itself where it was built with Slurm; the host file says it to those that were not), and
/// everything ends with the run. The run's name and the data folder make a later submission go on from the last checkpoint.
/// </summary>
internal static class SlurmScript
{
    /// <summary>The script of a run.</summary>
    /// <param name="spec">The run.</param>
    /// <param name="specPath">Its file.</param>
    /// <param name="options">What to ask for.</param>
    /// <exception cref="DroverException">InvalidArgument where ranks cannot be dealt to the nodes.</exception>
    public static string Of(TrainingSpec spec, string specPath, SlurmOptions options)
    {
        int ranks = Math.Max(1, spec.Ranks);
        if (options.Nodes < 1 || ranks % options.Nodes != 0)
            throw new DroverException(FailureCode.InvalidArgument, "UNEVEN_NODES", $"--nodes is {options.Nodes}, which does not divide the {ranks} ranks of the run. Give a divisor of {ranks}.");
        if (spec.ThreadsPerRank < 1)
            throw new DroverException(FailureCode.InvalidArgument, "THREADS_UNKNOWN", "threads_per_rank is 0: on a cluster the script must say how many cores a rank gets. Set it in the spec.");
        return string.Create(CultureInfo.InvariantCulture, $"""
            #!/bin/bash
            #SBATCH --job-name={Quoted($"drover-{spec.Name}")}
            #SBATCH --nodes={options.Nodes}
            #SBATCH --ntasks={ranks}
            #SBATCH --ntasks-per-node={ranks / options.Nodes}
            #SBATCH --cpus-per-task={spec.ThreadsPerRank}
            #SBATCH --time={options.Time}
            {(options.Partition is null ? "" : $"#SBATCH --partition={options.Partition}\n")}#SBATCH --signal=B:TERM@120
            # Two minutes before the end of the time the run is asked to stop; it saves and ends. Submit again to go on.
            set -euo pipefail

            # The folder of Drover, on every node under the same path; with .NET in PATH.
            DROVER=${"{"}DROVER:?"set DROVER to the folder of Drover, which every node sees"{"}"}
            DATA={Quoted(options.DataFolder)}
            SPEC={Quoted(specPath)}
            mkdir -p "$DATA"
            scontrol show hostnames "$SLURM_JOB_NODELIST" | sed 's/$/ slots={ranks / options.Nodes}/' > "$DATA/hosts-$SLURM_JOB_ID"

            # One port for each service, apart from those of another job on this node.
            BASE=$((20000 + SLURM_JOB_ID % 4000 * 10))
            export DROVER_Drover__DataFolder="$DATA"
            export DROVER_Services__gateway="http://127.0.0.1:$BASE"
            export DROVER_Services__tokenizer="http://127.0.0.1:$((BASE + 1))"
            export DROVER_Services__dataprep="http://127.0.0.1:$((BASE + 2))"
            export DROVER_Services__trainer="http://127.0.0.1:$((BASE + 3))"
            export DROVER_Services__checkpoint="http://127.0.0.1:$((BASE + 4))"
            export DROVER_Gateway__HttpAddress=
            export DROVER_Checkpoint__HubAddress=
            export DROVER_Trainer__HostFile="$DATA/hosts-$SLURM_JOB_ID"
            export DROVER_Trainer__Binding=cores
            export DROVER_GATEWAY="$DROVER_Services__gateway"

            "$DROVER/drover" up > "$DATA/drover-$SLURM_JOB_ID.log" 2>&1 &
            UP=$!
            trap 'kill "$UP" 2> /dev/null || true; wait "$UP" 2> /dev/null || true; rm -f "$DATA/hosts-$SLURM_JOB_ID"' EXIT
            for _ in $(seq 60); do "$DROVER/drover" status > /dev/null 2>&1 && break; sleep 1; done

            JOB=$("$DROVER/drover" train submit "$SPEC" --detach)
            trap '"$DROVER/drover" train cancel "$JOB"' TERM
            # A signal ends the first wait; the second is for the run's last checkpoint.
            "$DROVER/drover" train watch "$JOB" &
            WATCH=$!
            wait "$WATCH" || wait "$WATCH"

            """);
    }

    private static string Quoted(string text) => $"'{text.Replace("'", "'\\''", StringComparison.Ordinal)}'";
}
