using Drover.Trainer.Collectives;
using Drover.Trainer.Collectives.RankProgram;

// One rank, started by mpirun from a test: checks one operation over Open MPI.
using var collectives = OpenMpi.Join();
IReadOnlyList<string> problems = CollectiveChecks.Run(args[0], collectives);
foreach (string problem in problems)
    Console.Error.WriteLine($"rank {collectives.Rank}: {problem}");
// Told apart from a crash: mpirun gives the exit code of the first rank that failed.
if (problems.Count == 0 && collectives.Rank == 0)
    Console.WriteLine($"{args[0]} holds on {collectives.WorldSize} ranks");
return problems.Count == 0 ? 0 : 1;
