using System.Runtime.CompilerServices;

namespace Drover.Tokenization;

/// <summary>
/// Which neighbouring symbols merge into which piece, and how early: an open hash table that is read by all threads. A symbol is
/// a piece id, or the complement of a code point for a character that is no piece.
/// </summary>
internal sealed class MergeTable
{
    /// <summary>The priority of a pair that does not merge.</summary>
    public const int Never = int.MaxValue;

    private Slot[] _slots;
    private int _count;

    public MergeTable(IReadOnlyList<Merge> merges)
    {
        _slots = new Slot[SizeFor(merges.Count)];
        foreach (Merge merge in merges)
            Add(merge);
    }

    /// <summary>Adds a merge; a pair that is there already keeps its place. Not while others read.</summary>
    public void Add(Merge merge)
    {
        if (2 * (_count + 1) > _slots.Length)
            Grow();
        ref Slot slot = ref Find(_slots, Key(merge.Left, merge.Right));
        if (slot.Used)
            return;
        slot = new Slot(Key(merge.Left, merge.Right), merge.Merged, merge.Priority, true);
        _count++;
    }

    /// <summary>What a pair merges to and when; <see cref="Never"/> for a pair that does not.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Offer OfferOf(int left, int right)
    {
        ref Slot slot = ref Find(_slots, Key(left, right));
        return slot.Used ? new Offer(slot.Merged, slot.Priority) : new Offer(0, Never);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ref Slot Find(Slot[] slots, ulong key)
    {
        ulong hash = key * 0x9E3779B97F4A7C15;
        int mask = slots.Length - 1;
        int at = (int)(hash >> 32) & mask;
        while (slots[at].Used && slots[at].Key != key)
            at = (at + 1) & mask;
        return ref slots[at];
    }

    private static int SizeFor(int count) => (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)Math.Max(16, 2 * (count + 1)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Key(int left, int right) => ((ulong)(uint)left << 32) | (uint)right;

    private void Grow()
    {
        var slots = new Slot[2 * _slots.Length];
        foreach (Slot slot in _slots)
        {
            if (slot.Used)
                Find(slots, slot.Key) = slot;
        }

        _slots = slots;
    }

    /// <summary>What a pair becomes.</summary>
    internal readonly record struct Offer(int Merged, int Priority);

    private readonly record struct Slot(ulong Key, int Merged, int Priority, bool Used);
}
