using Drover.Trainer.Layout;
using Drover.Trainer.Parallelism;

namespace Drover.Trainer.Worker;

/// <summary>Bytes of a class in a place, most so far; of no class: what the system says is resident now.</summary>
internal sealed record RankMemory(MemoryClass? Class, MemoryPlace Place, long Bytes)
{
    /// <summary>Of a rank: resident memory first, then every class and place in the same order on each rank.</summary>
    public static RankMemory[] Of(MemoryLedger ledger)
    {
        IReadOnlyList<MemoryLine> lines = ledger.Lines;
        return
        [
            new RankMemory(null, MemoryPlace.Host, Environment.WorkingSet),
            .. from c in Enum.GetValues<MemoryClass>() from p in Enum.GetValues<MemoryPlace>()
               select new RankMemory(c, p, lines.FirstOrDefault(l => l.Class == c && l.Place == p)?.PeakBytes ?? 0),
        ];
    }
}
