using Drover.Trainer.Collectives;
using Drover.Trainer.Collectives.RankProgram;

// One rank, started by mpirun from a test.
if (args is ["lost", var folder, var how, var victim])
    return LostRank.Run(folder, how, int.Parse(victim, System.Globalization.CultureInfo.InvariantCulture));

using var collectives = OpenMpi.Join();
IReadOnlyList<string> problems = args[0] == "random"
    ? RandomChecks.Run(collectives, int.Parse(args[1], System.Globalization.CultureInfo.InvariantCulture))
    : CollectiveChecks.Run(args[0], collectives);
foreach (string problem in problems)
    Console.Error.WriteLine($"rank {collectives.Rank}: {problem}");
// Told apart from a crash: mpirun gives the exit code of the first rank that failed.
if (problems.Count == 0 && collectives.Rank == 0)
    Console.WriteLine($"{args[0]} holds on {collectives.WorldSize} ranks");
return problems.Count == 0 ? 0 : 1;
