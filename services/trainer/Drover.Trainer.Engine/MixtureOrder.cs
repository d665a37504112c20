namespace Drover.Trainer.Engine;

/// <summary>A dataset of a mixture.</summary>
/// <param name="Rows">Its rows.</param>
/// <param name="Weight">How often an epoch of the mixture reads each of them, more than 0. 1: once. 0.5: half of them, the other half in the next epoch. 2.5: each twice, and half of them a third time.</param>
public sealed record MixturePart(long Rows, double Weight);

/// <summary>
/// The order of rows of several datasets, numbered one behind the other. An epoch takes rows x weight positions of each dataset's own endless
/// stream, going on where the epoch before ended, so that no row is read a (k+1)-th time before each was read k times. Rows of all
/// datasets are shuffled together; with more than one bucket, as Colossal-LLaMA trains, within buckets: the first bucket has the first bin
/// (a stretch of rows, in the order of the dataset) of each dataset, the second one the second, and so on.
/// A pure function of (rows, weights, buckets, seed) and the position, in constant time.
/// </summary>
public sealed class MixtureOrder : IRowOrder
{
    private readonly MixturePart[] _parts;
    private readonly long[] _firstRows;
    private readonly long[] _positions;
    private readonly RowOrder[] _orders;
    private readonly int _buckets;
    private readonly long _seed;

    /// <summary>An order of a mixture.</summary>
    /// <param name="parts">At least one, each with rows.</param>
    /// <param name="buckets">1 shuffles everything together.</param>
    /// <param name="seed">Of the shuffling.</param>
    public MixtureOrder(IReadOnlyList<MixturePart> parts, int buckets, long seed)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(buckets, 1);
        ArgumentOutOfRangeException.ThrowIfZero(parts.Count);
        (_parts, _buckets, _seed) = ([.. parts], buckets, seed);
        _positions = [.. parts.Select(p => Math.Max(1, (long)Math.Round(p.Rows * p.Weight)))];
        _orders = [.. parts.Select((p, i) => new RowOrder(p.Rows, (long)CounterGenerator.Mix((ulong)seed, (ulong)i)))];
        _firstRows = new long[parts.Count];
        for (int i = 1; i < parts.Count; i++)
            _firstRows[i] = _firstRows[i - 1] + parts[i - 1].Rows;
        RowsPerEpoch = _positions.Sum();
    }

    /// <inheritdoc />
    public long RowsPerEpoch { get; }

    /// <inheritdoc />
    public long RowAt(long position)
    {
        (long epoch, long rest) = Math.DivRem(position, RowsPerEpoch);
        int bucket = 0;
        long size = BucketSize(0);
        for (; rest >= size; size = BucketSize(bucket))
        {
            rest -= size;
            bucket++;
        }

        // Where in the bucket, before it was shuffled.
        long place = new RowOrder(size, (long)CounterGenerator.Mix((ulong)_seed, (ulong)((epoch * _buckets) + bucket))).RowAt(rest);
        int part = 0;
        for (long bin = BinSize(0, bucket); place >= bin; bin = BinSize(part, bucket))
        {
            place -= bin;
            part++;
        }

        long stream = (epoch * _positions[part]) + BinStart(part, bucket) + place;
        return _firstRows[part] + (_buckets > 1 ? stream % _parts[part].Rows : _orders[part].RowAt(stream));
    }

    private long BucketSize(int bucket) => Enumerable.Range(0, _parts.Length).Sum(part => BinSize(part, bucket));

    private long BinSize(int part, int bucket) => BinStart(part, bucket + 1) - BinStart(part, bucket);

    private long BinStart(int part, int bucket) => (long)((Int128)_positions[part] * bucket / _buckets);
}
