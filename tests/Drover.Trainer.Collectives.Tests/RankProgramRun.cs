using Drover.Testing;
using Drover.Trainer.Collectives.RankProgram;

namespace Drover.Trainer.Collectives.Tests;

/// <summary>The program of these tests, under mpirun.</summary>
internal static class RankProgramRun
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(90);

    public static Task<(int ExitCode, string Output)> RunAsync(int ranks, params string[] arguments)
    {
        Assert.SkipUnless(OpenMpi.IsAvailable(out string reason), reason);
        return Mpirun.RunAsync(ranks, typeof(CollectiveChecks).Assembly.Location, Limit, arguments);
    }
}
