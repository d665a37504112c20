using System.Runtime.ExceptionServices;
using Drover.Errors;

namespace Drover.Trainer.Collectives;

/// <summary>
/// Ranks as threads of one process, for tests: exact and deterministic, sums are taken in the order of the ranks.
/// The work of an operation is done by the first rank that waits for it once all have started it: nobody waits for a rank that only
/// computes, and code which forgets to wait is found. Sends are copied when they are started and never wait.
/// </summary>
public sealed class ThreadRanks : CollectiveGroup
{
    private static readonly TimeSpan DefaultTimeOut = TimeSpan.FromMinutes(2);
    private readonly ThreadGroup _group;

    private ThreadRanks(ThreadGroup group, int rank, TrafficCounter traffic)
        : base(group.Axis, rank, group.Size, traffic) => _group = group;

    /// <summary>Runs <paramref name="rank"/> once for each rank, each on its own thread; ends when all have ended.</summary>
    /// <param name="worldSize">Number of ranks.</param>
    /// <param name="rank">What a rank does; its world is disposed afterwards.</param>
    /// <param name="timeOut">How long a rank waits for others in one operation; default two minutes.</param>
    /// <exception cref="Exception">The first failure of a rank; the others are let go.</exception>
    public static void Run(int worldSize, Action<ICollectives> rank, TimeSpan? timeOut = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(worldSize, 1);
        var world = new ThreadWorld(worldSize, timeOut ?? DefaultTimeOut);
        var group = new ThreadGroup(world, "world", [.. Enumerable.Range(0, worldSize)]);
        var threads = new Thread[worldSize];
        for (int r = 0; r < worldSize; r++)
        {
            int me = r;
            threads[r] = new Thread(() =>
            {
                try
                {
                    using var collectives = new ThreadRanks(group, me, new TrafficCounter());
                    rank(collectives);
                }
                catch (Exception e)
                {
                    // Told to the caller below; the other ranks must not wait for this one for ever.
                    world.Break(e);
                }
                finally
                {
                    world.End(me);
                }
            })
            { Name = $"rank {me}" };
            threads[r].Start();
        }

        foreach (Thread thread in threads)
            thread.Join();
        if (world.Failure is { } failure)
            ExceptionDispatchInfo.Throw(failure);
    }

    /// <inheritdoc />
    public override void Abort(int exitCode)
    {
        var failure = new InvalidOperationException($"Rank {Rank} aborted the run with exit code {exitCode}.");
        _group.World.Break(failure);
        throw failure;
    }

    /// <inheritdoc />
    public override void Dispose()
    {
        // Groups belong to Run.
    }

    internal override ICollectives MakeGroup(Operation split)
    {
        Meeting meeting = _group.Join(Rank, split);
        meeting.Wait(Rank);
        ThreadGroup mine = meeting.Groups![split.Peer];
        return new ThreadRanks(mine, Array.IndexOf(mine.Members, _group.Members[Rank]), Traffic);
    }

    internal override ICollectiveHandle Start(Operation operation) => operation.Kind switch
    {
        OperationKind.Send => _group.Send(Rank, operation),
        OperationKind.Receive => _group.Receive(Rank, operation),
        _ => new Attendance(_group.Join(Rank, operation), Rank),
    };

    private sealed class Attendance(Meeting meeting, int rank) : ICollectiveHandle
    {
        public void Wait() => meeting.Wait(rank);
    }
}

/// <summary>What all ranks of a <see cref="ThreadRanks.Run"/> share: one lock, pulsed at every change, and who has ended.</summary>
internal sealed class ThreadWorld(int size, TimeSpan timeOut)
{
    private static readonly TimeSpan LongestSlice = TimeSpan.FromSeconds(1);
    private readonly bool[] _ended = new bool[size];
    private readonly List<Func<string>> _waits = [];

    public object Gate { get; } = new();

    /// <summary>The first failure of a rank.</summary>
    public Exception? Failure { get; private set; }

    public void Break(Exception failure)
    {
        lock (Gate)
        {
            Failure ??= failure;
            Monitor.PulseAll(Gate);
        }
    }

    public void End(int rank)
    {
        lock (Gate)
        {
            _ended[rank] = true;
            Monitor.PulseAll(Gate);
        }
    }

    /// <summary>Waits, inside the lock, until <paramref name="ready"/>.</summary>
    /// <param name="ready">Whether to go on.</param>
    /// <param name="missing">World ranks that are waited for.</param>
    /// <param name="where">Who waits in what, for the failure.</param>
    public void WaitUntil(Func<bool> ready, Func<int[]> missing, Func<string> where)
    {
        _waits.Add(where);
        try
        {
            var waited = TimeSpan.Zero;
            while (!ready())
            {
                if (Failure is not null)
                    throw new DroverException(FailureCode.Unavailable, "COLLECTIVE_FAILED", $"Another rank failed: {Failure.Message}", Failure);
                int[] gone = [.. missing().Where(r => _ended[r])];
                if (gone.Length > 0 || waited >= timeOut)
                    throw Lost(missing(), gone, where);
                waited += WaitForChange(timeOut - waited);
            }
        }
        finally
        {
            _ = _waits.Remove(where);
        }
    }

    // A machine that was suspended meanwhile (as machines of tests are) adds a slice, not all the time that it slept.
    private TimeSpan WaitForChange(TimeSpan left)
    {
        TimeSpan slice = left < LongestSlice ? left : LongestSlice;
        long started = Environment.TickCount64;
        _ = Monitor.Wait(Gate, slice);
        var passed = TimeSpan.FromMilliseconds(Environment.TickCount64 - started);
        return passed < slice ? passed : slice;
    }

    private DroverException Lost(int[] missing, int[] gone, Func<string> where)
    {
        string who = gone.Length > 0
            ? $"{Names(gone)} ended without starting it"
            : $"{Names(missing)} did not start it within {timeOut.TotalSeconds:0.###} s";
        string[] others = [.. _waits.Where(w => w != where).Select(w => w())];
        string meanwhile = others.Length == 0 ? "" : $" Meanwhile: {string.Join("; ", others)}.";
        return new DroverException(FailureCode.Unavailable, "RANK_LOST", $"{where()}: {who}.{meanwhile}");
    }

    /// <summary><c>rank 2</c>, <c>ranks 2, 3</c>.</summary>
    public static string Names(IReadOnlyCollection<int> ranks) => $"rank{(ranks.Count == 1 ? "" : "s")} {string.Join(", ", ranks)}";
}
