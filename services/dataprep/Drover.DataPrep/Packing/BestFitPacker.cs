using System.Numerics;

namespace Drover.DataPrep.Packing;

/// <summary>A stretch of a document in a row.</summary>
/// <param name="Document">Index of the document.</param>
/// <param name="Start">Its first token there.</param>
/// <param name="Length">Tokens.</param>
internal readonly record struct Fragment(int Document, int Start, int Length);

/// <summary>
/// Puts documents into as few rows as it finds, losing nothing. A document longer than a row is cut into full rows and a
/// rest. Rests and short documents are placed by best fit (each into the fullest row that still has room), once in the
/// given order and once from long to short; the order that needs fewer rows is taken. Best fit in the given order never
/// needs more rows than next fit: within one row's worth of documents it opens at most one new row.
/// The same lengths give the same rows.
/// </summary>
internal static class BestFitPacker
{
    /// <summary>Packs documents.</summary>
    /// <param name="lengths">Tokens of each document, at least 1.</param>
    /// <param name="capacity">Tokens of a row.</param>
    /// <returns>The rows, each with its fragments in order.</returns>
    public static List<List<Fragment>> Pack(IReadOnlyList<int> lengths, int capacity)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1);
        var rows = new List<List<Fragment>>();
        var pieces = new List<Fragment>();
        for (int document = 0; document < lengths.Count; document++)
        {
            int start = 0;
            for (; lengths[document] - start >= capacity; start += capacity)
                rows.Add([new Fragment(document, start, capacity)]);
            if (start < lengths[document])
                pieces.Add(new Fragment(document, start, lengths[document] - start));
        }

        List<List<Fragment>> asGiven = BestFit(pieces, capacity);
        // OrderBy is stable, so equal lengths keep their order.
        List<List<Fragment>> longFirst = BestFit([.. pieces.OrderByDescending(p => p.Length)], capacity);
        rows.AddRange(longFirst.Count < asGiven.Count ? longFirst : asGiven);
        return rows;
    }

    private static List<List<Fragment>> BestFit(List<Fragment> pieces, int capacity)
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
