using System.Globalization;
using Drover.Trainer.Collectives.RankProgram;

namespace Drover.Trainer.Collectives.Tests;

public sealed class LostRankTests
{
    private const int Ranks = 3;

    public static IEnumerable<TheoryDataRow<string, int>> WaysAndVictims() =>
        from way in LostRank.Ways from victim in (int[])[0, 1] select new TheoryDataRow<string, int>(way, victim);

    [Theory]
    [MemberData(nameof(WaysAndVictims))]
    public async Task A_rank_that_is_lost_is_named_to_all_others_which_end(string how, int victim)
    {
        string folder = Directory.CreateTempSubdirectory("lost-rank-").FullName;
        (int exitCode, string output) = await RankProgramRun.RunAsync(Ranks, "lost", folder, how, victim.ToString(CultureInfo.InvariantCulture));
        Assert.NotEqual(0, exitCode);
        foreach (int rank in Enumerable.Range(0, Ranks).Where(r => r != victim))
        {
            Assert.True(File.Exists(LostRank.FileOf(folder, rank)), $"rank {rank} was not told: {output}");
            string message = File.ReadAllText(LostRank.FileOf(folder, rank));
            Assert.StartsWith($"Unavailable RANK_LOST Rank {victim} ({Environment.MachineName}, process ", message, StringComparison.Ordinal);
            Assert.Contains(
                how switch { "killed" => "is gone", "stopped" => "has not answered for 3 s", _ => "has not started all-reduce 'data' no. 6" },
                message,
                StringComparison.Ordinal);
            // mpirun wakes a stopped rank 0 when the first of the others ends: then it goes on into the next operation, and says so.
            Assert.Matches("it was (computing after all-reduce 'data' no\\. 5|last in all-reduce 'data' no\\. 6)", message);
            Assert.True(File.Exists(LostRank.CallbackFileOf(folder, rank)), $"rank {rank} was not called back");
        }

        Directory.Delete(folder, recursive: true);
    }
}
