using System.Numerics;

namespace Drover.DataPrep.Rows;

/// <summary>A stretch of a document in a row.</summary>
/// <param name="Document">Index of the document.</param>
/// <param name="Start">Its first token there.</param>
/// <param name="Length">Tokens.</param>
internal readonly record struct Fragment(int Document, int Start, int Length);

/// <summary>
/// Puts stretches of at most a row into as few rows as it finds, by best fit: each into the fullest row that still has room, once in
/// the given order and once from long to short; the order that needs fewer rows is taken. Best fit in the given order never
/// needs more rows than next fit: within one row's worth of documents it opens at most one new row.
/// The same lengths give the same rows.
/// </summary>
internal static class BestFitPacker
{
    /// <summary>Cuts a document into full rows and, last, a rest of less than one, if there is any.</summary>
    public static IEnumerable<Fragment> Cut(int document, int length, int capacity)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1);
        for (int start = 0; start < length; start += capacity)
            yield return new Fragment(document, start, Math.Min(capacity, length - start));
    }

    /// <summary>Packs stretches.</summary>
    /// <param name="lengths">Of each, 1 to <paramref name="capacity"/> tokens.</param>
    /// <param name="capacity">Tokens of a row.</param>
    public static PackedPieces Pack(ReadOnlySpan<int> lengths, int capacity)
    {
        PackedPieces asGiven = BestFit(lengths, [.. Enumerable.Range(0, lengths.Length)], capacity);
        PackedPieces longFirst = BestFit(lengths, LongFirst(lengths, capacity), capacity);
        return longFirst.Rows < asGiven.Rows ? longFirst : asGiven;
    }

    // Equal lengths keep their order.
    private static int[] LongFirst(ReadOnlySpan<int> lengths, int capacity)
    {
        int[] places = new int[capacity + 1];
        foreach (int length in lengths)
            places[capacity - length + 1]++;
        for (int i = 1; i < places.Length; i++)
            places[i] += places[i - 1];
        int[] order = new int[lengths.Length];
        for (int piece = 0; piece < lengths.Length; piece++)
            order[places[capacity - lengths[piece]]++] = piece;
        return order;
    }

    private static PackedPieces BestFit(ReadOnlySpan<int> lengths, int[] order, int capacity)
    {
        int rows = 0;
        int[] rowOf = new int[order.Length];
        // Of each size of room, the row that has it since last, and of that row the one that has it, too; a bit tells which sizes there are.
        int[] last = new int[capacity + 1];
        int[] other = new int[order.Length];
        ulong[] present = new ulong[(capacity / 64) + 1];
        last.AsSpan().Fill(-1);
        for (int i = 0; i < order.Length; i++)
        {
            int length = lengths[order[i]];
            int room = SmallestFrom(present, length);
            int row;
            if (room < 0)
            {
                row = rows++;
                room = capacity;
            }
            else
            {
                row = last[room];
                last[room] = other[row];
                if (last[room] < 0)
                    present[room / 64] &= ~(1UL << (room % 64));
            }

            rowOf[i] = row;
            int left = room - length;
            if (left == 0)
                continue;
            (other[row], last[left]) = (last[left], row);
            present[left / 64] |= 1UL << (left % 64);
        }

        return new PackedPieces(order, rowOf, rows);
    }

    private static int SmallestFrom(ulong[] present, int least)
    {
        ulong bits = present[least / 64] & (ulong.MaxValue << (least % 64));
        for (int word = least / 64; ;)
        {
            if (bits != 0)
                return (word * 64) + BitOperations.TrailingZeroCount(bits);
            if (++word == present.Length)
                return -1;
            bits = present[word];
        }
    }
}

/// <summary>Which stretches are in which row.</summary>
internal sealed class PackedPieces
{
    private readonly int[] _pieces;
    private readonly int[] _ends;

    /// <param name="order">Stretches as they were put into rows.</param>
    /// <param name="rowOf">The row of each of <paramref name="order"/>.</param>
    /// <param name="rows">How many rows there are.</param>
    public PackedPieces(int[] order, int[] rowOf, int rows)
    {
        (_pieces, _ends) = (new int[order.Length], new int[rows + 1]);
        foreach (int row in rowOf)
            _ends[row + 1]++;
        for (int row = 1; row <= rows; row++)
            _ends[row] += _ends[row - 1];
        int[] next = _ends[..rows];
        for (int i = 0; i < order.Length; i++)
            _pieces[next[rowOf[i]]++] = order[i];
    }

    /// <summary>Number of rows.</summary>
    public int Rows => _ends.Length - 1;

    /// <summary>Stretches of a row, in order, by their index.</summary>
    public ReadOnlySpan<int> this[int row] => _pieces.AsSpan(_ends[row].._ends[row + 1]);
}
