namespace Drover.Trainer.Engine;

/// <summary>
/// The order of rows in an epoch: a bijection of [0, rows) keyed by (seed, epoch), computed for any position in constant time
/// and memory. A Feistel network over the next even power of two, walked until it lands inside the range (cycle walking;
/// Black and Rogaway, 2002). So the rows of any step are known without the steps before it.
/// </summary>
public sealed class RowOrder : IRowOrder
{
    private const int Rounds = 6;
    private readonly long _rows;
    private readonly long _seed;
    private readonly int _halfBits;

    /// <summary>An order of <paramref name="rows"/> rows.</summary>
    public RowOrder(long rows, long seed)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(rows, 1);
        _rows = rows;
        _seed = seed;
        _halfBits = 1;
        while (1L << (2 * _halfBits) < rows)
            _halfBits++;
    }

    /// <inheritdoc />
    public long RowsPerEpoch => _rows;

    /// <summary>The row at a position of the endless stream of epochs.</summary>
    public long RowAt(long position)
    {
        ulong key = CounterGenerator.Mix((ulong)_seed, (ulong)(position / _rows));
        ulong value = (ulong)(position % _rows);
        do
            value = Permute(value, key);
        while (value >= (ulong)_rows);
        return (long)value;
    }

    private ulong Permute(ulong value, ulong key)
    {
        ulong mask = (1UL << _halfBits) - 1, left = value >> _halfBits, right = value & mask;
        for (ulong round = 0; round < Rounds; round++)
            (left, right) = (right, left ^ (CounterGenerator.Mix(key + round, right) & mask));
        return (left << _halfBits) | right;
    }
}
