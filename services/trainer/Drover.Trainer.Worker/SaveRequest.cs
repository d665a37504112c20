using System.Diagnostics;

namespace Drover.Trainer.Worker;

/// <summary>Whether a checkpoint is due that no count of steps asks for: a file "save" in the attempt's folder, or time since the last one began.</summary>
/// <param name="rank">The first decides about time: the others' clocks do not matter.</param>
/// <param name="intervalSeconds">0: not by time.</param>
internal sealed class SaveRequest(RankContext rank, long intervalSeconds)
{
    private readonly string _file = Path.Combine(rank.Spec.AttemptFolder, "save");
    private long _began = Stopwatch.GetTimestamp();

    /// <summary>Of this rank: a save is to be made if it is of any.</summary>
    public bool IsMade => File.Exists(_file)
        || (intervalSeconds > 0 && rank.Collectives.Rank == 0 && Stopwatch.GetElapsedTime(_began).TotalSeconds >= intervalSeconds);

    /// <summary>A save begins; every rank calls it.</summary>
    public void Begin()
    {
        _began = Stopwatch.GetTimestamp();
        if (rank.Collectives.Rank == 0)
            File.Delete(_file);
    }
}
