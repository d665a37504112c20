using System.Globalization;
using System.Text.RegularExpressions;

namespace Drover.Trainer;

/// <summary>The rank that a signal ended first, as mpirun tells at its end: the others ended because of it.</summary>
internal sealed partial record KilledRank(int Rank, string Host, int Signal)
{
    private const int Kill = 9;

    /// <summary>In words, for the middle of a sentence.</summary>
    public string Why => $"rank {Rank} on {Host} was killed by signal {Signal}{(Signal == Kill ? " (out of memory, or by hand)" : "")}";

    /// <summary>Looks in the output of mpirun and its ranks; null where no rank was killed.</summary>
    public static KilledRank? Find(string logFile)
    {
        if (!File.Exists(logFile))
            return null;
        // Lines of ranks begin with their tag; mpirun's own do not.
        Match? match = File.ReadLines(logFile).Select(line => Notice().Match(line)).FirstOrDefault(m => m.Success);
        return match is null ? null : new KilledRank(Number(match.Groups["rank"]), match.Groups["host"].Value, Number(match.Groups["signal"]));
    }

    private static int Number(Group group) => int.Parse(group.Value, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"^mpirun noticed that process rank (?<rank>\d{1,6}) with PID \d+ on node (?<host>\S+) exited on signal (?<signal>\d{1,3})\b")]
    private static partial Regex Notice();
}
