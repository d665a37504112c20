using Drover.Errors;

namespace Drover.Trainer.Collectives;

/// <summary>How ranks watch each other.</summary>
public sealed record RankWatchOptions
{
    /// <summary>A rank that is not heard of for this long is lost. Default 6 s.</summary>
    public TimeSpan SilenceLimit { get; init; } = TimeSpan.FromSeconds(6);

    /// <summary>An operation in which a rank waits for this long is stuck. Default 10 minutes.</summary>
    public TimeSpan OperationTimeOut { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>How often a rank tells that it is there. Default 250 ms.</summary>
    public TimeSpan Interval { get; init; } = TimeSpan.FromMilliseconds(250);
}

/// <summary>
/// Finds ranks that were killed, stopped, cut off or are stuck, within seconds, and names them to all others.
/// <para>
/// Open MPI itself waits for such a rank for ever, or ends everything without saying why. So each rank holds a connection to rank 0 and
/// tells a few times a second which operation it is in. A connection that breaks, or silence, is a lost rank: rank 0 finds it and tells
/// the others; that rank 0 is lost they find themselves. Which rank has not started an operation that others wait in, rank 0 sees from
/// what they tell.
/// </para>
/// </summary>
internal sealed class RankWatch : IDisposable
{
    private readonly RankWatchOptions _options;
    private readonly OperationJournal _journal;
    private readonly RankBeat _me;
    private readonly IReadOnlyList<WatchPeer> _peers;
    private readonly Action<DroverException> _onLost;
    private readonly ManualResetEventSlim _stop = new();
    private readonly Thread _thread;
    private int _declared;
    private long _lastLook = Environment.TickCount64;
    private long _awayUntil;

    private RankWatch(int rank, IReadOnlyList<WatchPeer> peers, OperationJournal journal, RankWatchOptions options, Action<DroverException> onLost)
    {
        (_peers, _journal, _options, _onLost) = (peers, journal, options, onLost);
        _me = new RankBeat(rank, Environment.MachineName, Environment.ProcessId);
        foreach (WatchPeer peer in peers)
        {
            peer.Send(new WatchLine { Beat = _me });
            peer.Read(Declare, p => DeclareLost(p, "is gone: its connection broke", "It was killed or it crashed."));
        }

        _thread = new Thread(Watch) { IsBackground = true, Name = "rank watch", Priority = ThreadPriority.AboveNormal };
        _thread.Start();
    }

    /// <summary>Connects the ranks; every rank calls it.</summary>
    /// <param name="world">All ranks.</param>
    /// <param name="journal">What this rank does.</param>
    /// <param name="options">Limits.</param>
    /// <param name="onLost">Called once, from a thread of the watch.</param>
    public static RankWatch Start(ICollectives world, OperationJournal journal, RankWatchOptions options, Action<DroverException> onLost) =>
        new(world.Rank, WatchStar.Connect(world, options.SilenceLimit), journal, options, onLost);

    /// <summary>Says good-bye; from then on nobody watches this rank.</summary>
    public void Dispose()
    {
        _stop.Set();
        // The caller may be who was told of a lost rank, on this very thread.
        if (Thread.CurrentThread != _thread)
            _thread.Join();
        // Whatever breaks from here on is an end.
        Interlocked.Exchange(ref _declared, 1);
        foreach (WatchPeer peer in _peers)
        {
            peer.Send(new WatchLine { Bye = true });
            peer.Dispose();
        }
    }

    private void Watch()
    {
        while (!_stop.Wait(_options.Interval))
        {
            long now = Environment.TickCount64;
            long pause = now - Interlocked.Exchange(ref _lastLook, now);
            // Who was away itself (stopped, a machine asleep) has heard of nobody and can blame nobody.
            if (pause > (_options.Interval + (_options.SilenceLimit / 4)).TotalMilliseconds)
                Array.ForEach([.. _peers], p => p.LastHeard = now);
            if (pause > _options.SilenceLimit.TotalMilliseconds)
                Volatile.Write(ref _awayUntil, now + (long)_options.SilenceLimit.TotalMilliseconds);
            RankBeat mine = _journal.Describe(_me);
            foreach (WatchPeer peer in _peers.Where(p => !p.HasLeft))
            {
                peer.Send(new WatchLine { Beat = mine });
                if (now - peer.LastHeard <= _options.SilenceLimit.TotalMilliseconds)
                    continue;
                // The others find that rank 0 is silent themselves, at their next looks. Let them, before this rank's end ends them.
                if (peer.Rank == 0)
                    _stop.Wait(2 * _options.Interval);
                DeclareLost(peer, $"has not answered for {_options.SilenceLimit.TotalSeconds:0.#} s", "It is stopped, or its machine is cut off or overloaded.");
            }

            if (_me.Rank == 0)
                FindStuck([mine, .. _peers.Where(p => p is { HasLeft: false, Beat: not null }).Select(p => p.Beat!)]);
        }
    }

    private void FindStuck(RankBeat[] ranks)
    {
        if (ranks.FirstOrDefault(b => b.Wait?.Seconds > _options.OperationTimeOut.TotalSeconds) is { } stuck)
            Declare(StuckRanks.Explain(ranks, stuck));
    }

    private void DeclareLost(WatchPeer peer, string how, string why)
    {
        long now = Environment.TickCount64;
        bool wasAway = now < Volatile.Read(ref _awayUntil) || now - Volatile.Read(ref _lastLook) > _options.SilenceLimit.TotalMilliseconds;
        Declare(wasAway
            ? $"{_me.Name} was itself stopped for more than {_options.SilenceLimit.TotalSeconds:0.#} s, and the others ended without it."
            : $"{peer.Beat?.Name ?? $"Rank {peer.Rank}"} {how}; {peer.Beat?.LastInWords ?? "it had not told what it does"}. {why}");
    }

    /// <summary>Ends the run on this rank and, from rank 0, on all others. The first finding counts: the rest follows from it.</summary>
    private void Declare(string message)
    {
        if (Interlocked.Exchange(ref _declared, 1) != 0)
            return;
        if (_me.Rank == 0)
        {
            foreach (WatchPeer peer in _peers)
                peer.Send(new WatchLine { Lost = message });
        }

        _onLost(new DroverException(FailureCode.Unavailable, "RANK_LOST", message));
    }
}
