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
    /// <param name="pieces">Each 1 to <paramref name="capacity"/> tokens.</param>
    /// <param name="capacity">Tokens of a row.</param>
    /// <returns>The rows, each with its stretches in order.</returns>
    public static List<List<Fragment>> Pack(IReadOnlyList<Fragment> pieces, int capacity)
    {
        List<List<Fragment>> asGiven = BestFit(pieces, capacity);
        // OrderBy is stable, so equal lengths keep their order.
        List<List<Fragment>> longFirst = BestFit([.. pieces.OrderByDescending(p => p.Length)], capacity);
        return longFirst.Count < asGiven.Count ? longFirst : asGiven;
    }

    private static List<List<Fragment>> BestFit(IReadOnlyList<Fragment> pieces, int capacity)
    {
        var rows = new List<List<Fragment>>();
        // Rows by the room they have left; a bit tells which sizes of room there are.
        var byRoom = new Stack<int>?[capacity + 1];
        ulong[] present = new ulong[(capacity / 64) + 1];
        foreach (Fragment piece in pieces)
        {
            int room = SmallestFrom(present, piece.Length);
            int row;
            if (room < 0)
            {
                row = rows.Count;
                room = capacity;
                rows.Add([]);
            }
            else
            {
                Stack<int> stack = byRoom[room]!;
                row = stack.Pop();
                if (stack.Count == 0)
                    present[room / 64] &= ~(1UL << (room % 64));
            }

            rows[row].Add(piece);
            int left = room - piece.Length;
            if (left == 0)
                continue;
            (byRoom[left] ??= new Stack<int>()).Push(row);
            present[left / 64] |= 1UL << (left % 64);
        }

        return rows;
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
