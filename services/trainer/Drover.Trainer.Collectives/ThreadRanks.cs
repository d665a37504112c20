using System.Runtime.ExceptionServices;

namespace Drover.Trainer.Collectives;

/// <summary>
/// Ranks as threads of one process, for tests: exact and deterministic, sums are taken in the order of the ranks.
/// A started sum is done when its handle (or a later operation) is waited for, so that code which forgets to wait is found.
/// </summary>
public sealed class ThreadRanks : ICollectives
{
    private readonly World _world;
    private readonly Queue<PendingSum> _pending = new();

    private ThreadRanks(World world, int rank)
    {
        _world = world;
        Rank = rank;
    }

    /// <inheritdoc />
    public int Rank { get; }

    /// <inheritdoc />
    public int WorldSize => _world.Size;

    /// <summary>Runs <paramref name="rank"/> once for each rank, each on its own thread; ends when all have ended.</summary>
    /// <exception cref="Exception">The first failure of a rank; the others are let go.</exception>
    public static void Run(int worldSize, Action<ICollectives> rank)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(worldSize, 1);
        using var world = new World(worldSize);
        ExceptionDispatchInfo? failure = null;
        var threads = new Thread[worldSize];
        for (int r = 0; r < worldSize; r++)
        {
            var collectives = new ThreadRanks(world, r);
            threads[r] = new Thread(() =>
            {
                try
                {
                    rank(collectives);
                }
                catch (Exception e)
                {
                    // Told to the caller below; the other ranks must not wait for this one for ever.
                    Interlocked.CompareExchange(ref failure, ExceptionDispatchInfo.Capture(e), null);
                    world.Break();
                }
            });
            threads[r].Start();
        }

        foreach (Thread thread in threads)
            thread.Join();
        failure?.Throw();
    }

    /// <inheritdoc />
    public ICollectiveHandle StartAllReduceSum(nint data, long count)
    {
        var sum = new PendingSum(this, data, count);
        _pending.Enqueue(sum);
        return sum;
    }

    /// <inheritdoc />
    public unsafe void AllReduceSum(Span<double> values)
    {
        fixed (double* data = values)
            Reduce((nint)data, values.Length, static (a, b) => a + b);
    }

    /// <inheritdoc />
    public unsafe void AllReduceMax(Span<double> values)
    {
        fixed (double* data = values)
            Reduce((nint)data, values.Length, Math.Max);
    }

    /// <inheritdoc />
    public unsafe void Broadcast(nint data, long bytes, int root)
    {
        nint[] all = Enter(data);
        if (Rank != root)
            Buffer.MemoryCopy((void*)all[root], (void*)data, bytes, bytes);
        _world.Meet();
    }

    /// <inheritdoc />
    public unsafe void AllGather(nint source, nint destination, long bytesPerRank)
    {
        nint[] all = Enter(source);
        for (int r = 0; r < WorldSize; r++)
            Buffer.MemoryCopy((void*)all[r], (byte*)destination + (r * bytesPerRank), bytesPerRank, bytesPerRank);
        _world.Meet();
    }

    /// <inheritdoc />
    public unsafe void ReduceScatterSum(nint source, nint destination, long countPerRank)
    {
        nint[] all = Enter(source);
        float* target = (float*)destination;
        for (long i = 0; i < countPerRank; i++)
        {
            float sum = 0;
            for (int r = 0; r < all.Length; r++)
                sum += ((float*)all[r])[(Rank * countPerRank) + i];
            target[i] = sum;
        }

        _world.Meet();
    }

    /// <inheritdoc />
    public void Barrier()
    {
        Finish(null);
        _world.Meet();
    }

    /// <inheritdoc />
    public void Abort(int exitCode)
    {
        _world.Break();
        throw new InvalidOperationException($"Rank {Rank} aborted the run with exit code {exitCode}.");
    }

    /// <inheritdoc />
    public void Dispose()
    {
        // The world belongs to Run.
    }

    private unsafe void Reduce(nint data, int count, Func<double, double, double> combine)
    {
        nint[] all = Enter(data);
        double[] result = new double[count];
        for (int i = 0; i < count; i++)
        {
            result[i] = ((double*)all[0])[i];
            for (int r = 1; r < all.Length; r++)
                result[i] = combine(result[i], ((double*)all[r])[i]);
        }

        _world.Meet();
        result.CopyTo(new Span<double>((void*)data, count));
    }

    private nint[] Enter(nint data)
    {
        Finish(null);
        return _world.Exchange(Rank, data);
    }

    /// <summary>Does what was started, in order, up to and with <paramref name="last"/>.</summary>
    private void Finish(PendingSum? last)
    {
        while (last is not { Done: true } && _pending.TryDequeue(out PendingSum? sum))
        {
            SumInPlace(sum.Data, sum.Count);
            sum.Done = true;
        }
    }

    private unsafe void SumInPlace(nint data, long count)
    {
        nint[] all = _world.Exchange(Rank, data);
        // Each rank sums one part and writes it to everybody.
        long begin = count * Rank / all.Length;
        long end = count * (Rank + 1) / all.Length;
        for (long i = begin; i < end; i++)
        {
            float sum = ((float*)all[0])[i];
            for (int r = 1; r < all.Length; r++)
                sum += ((float*)all[r])[i];
            foreach (nint target in all)
                ((float*)target)[i] = sum;
        }

        _world.Meet();
    }

    private sealed class PendingSum(ThreadRanks owner, nint data, long count) : ICollectiveHandle
    {
        public nint Data { get; } = data;

        public long Count { get; } = count;

        public bool Done { get; set; }

        public void Wait() => owner.Finish(this);
    }

    private sealed class World(int size) : IDisposable
    {
        private readonly Barrier _barrier = new(size);
        private readonly CancellationTokenSource _broken = new();
        private readonly nint[] _addresses = new nint[size];

        public int Size => size;

        public void Meet() => _barrier.SignalAndWait(_broken.Token);

        public nint[] Exchange(int rank, nint address)
        {
            _addresses[rank] = address;
            Meet();
            nint[] all = [.. _addresses];
            // Nobody may post the next address before all have read these.
            Meet();
            return all;
        }

        public void Break() => _broken.Cancel();

        public void Dispose()
        {
            _barrier.Dispose();
            _broken.Dispose();
        }
    }
}
