using System.Globalization;

namespace Drover.Trainer.Collectives;

/// <summary>Finds, from what all ranks tell, for whom a rank waits that has waited too long.</summary>
internal static class StuckRanks
{
    /// <summary>
    /// Why <paramref name="stuck"/> goes on waiting, in words. Where the missing ranks wait themselves, the cause is behind them: the
    /// waits are followed to a rank that does not wait, or round to where they began.
    /// </summary>
    public static string Explain(IReadOnlyList<RankBeat> ranks, RankBeat stuck)
    {
        var path = new List<RankBeat>();
        RankBeat at = stuck;
        while (!path.Contains(at))
        {
            path.Add(at);
            RankBeat[] missing = [.. ranks.Where(b => b.Rank != at.Rank && IsMissing(b, at.Wait!))];
            RankBeat[] idle = [.. missing.Where(b => b.Wait is null)];
            if (missing.Length == 0)
                return $"{Waiting(ranks, at)}, which every rank has started. The network between them may be cut.";
            if (idle.Length > 0)
            {
                string what = at.Wait!.Number < 0 ? "is at the other end of" : "has not started";
                return $"{string.Join("; ", idle.Select(b => $"{b.Name} {what} {at.Last}: {b.LastInWords}"))}. {Waiting(ranks, at)}.";
            }

            at = missing[0];
        }

        return $"Ranks wait for each other: {string.Join("; ", path[path.IndexOf(at)..].Select(b => $"{b.Name} in {b.Last}"))}.";
    }

    private static bool IsMissing(RankBeat rank, RankWait wait) =>
        wait.For.Contains(rank.Rank) && (wait.Number < 0 || rank.Started.GetValueOrDefault(wait.Group) < wait.Number);

    /// <summary><c>Ranks 0, 3 waited 600 s in all-reduce 'data' no. 417</c>.</summary>
    private static string Waiting(IEnumerable<RankBeat> ranks, RankBeat one)
    {
        int[] together = [.. ranks.Where(b => b == one || (b.Wait is { Number: >= 0 } w && w.Group == one.Wait!.Group && w.Number == one.Wait.Number)).Select(b => b.Rank)];
        string seconds = one.Wait!.Seconds.ToString("0.#", CultureInfo.InvariantCulture);
        return $"R{ThreadWorld.Names(together)[1..]} waited {seconds} s in {one.Last}";
    }
}
