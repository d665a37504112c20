using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Drover.Tokenization;

/// <summary>
/// Ids of short stretches of text, by their bytes. Of one thread at a time, without locks; its size is fixed and newer entries
/// take the place of older ones, so text that never repeats cannot fill the memory.
/// </summary>
internal sealed class SegmentCache
{
    /// <summary>Longest key, in bytes.</summary>
    public const int MaxKey = 32;

    /// <summary>Most ids of an entry.</summary>
    public const int MaxIds = 7;

    private const int Sets = 1 << 15;
    private const int KindShift = 16;
    private const int Ways = 4;
    private readonly Entry[] _entries = new Entry[Ways * Sets];

    private static ReadOnlySpan<byte> Masks =>
    [
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];

    /// <summary>The key of up to 32 bytes, of which <paramref name="readable"/> may be read from the first on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> KeyOf(ref byte first, int length, nint readable) =>
        readable >= MaxKey
            ? Masked(Vector256.LoadUnsafe(ref first), length)
            : KeyNearEnd(ref first, length);

    /// <summary>The first bytes of a vector, zeros behind them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Masked(Vector256<byte> bytes, int length) =>
        bytes & Vector256.LoadUnsafe(ref MemoryMarshal.GetReference(Masks), (nuint)(MaxKey - length));

    /// <summary>Writes the ids of a key.</summary>
    /// <param name="key">From <see cref="KeyOf"/>.</param>
    /// <param name="length">Length of the key, 1 to 32 bytes.</param>
    /// <param name="kind">0 or 1: two kinds of keys share the cache.</param>
    /// <param name="ids">Place for eight ids, all of which may be written.</param>
    /// <returns>How many, 0 when the key is not known.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Find(Vector256<byte> key, int length, int kind, ref int ids)
    {
        ref Entry entry = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(_entries), SetOf(key, length));
        int header = length | (kind << KindShift);
        for (int way = 0; way < Ways; way++)
        {
            if ((entry.Header & ~0xFF00) == header && entry.Key == key)
            {
                entry.IdsAndHeader.StoreUnsafe(ref ids);
                return (entry.Header >> 8) & 0xFF;
            }

            entry = ref Unsafe.Add(ref entry, 1);
        }

        return 0;
    }

    /// <summary>Keeps the ids of a key; too many are not kept.</summary>
    public void Keep(Vector256<byte> key, int length, int kind, ReadOnlySpan<int> ids)
    {
        if (ids.Length > MaxIds)
            return;
        int set = SetOf(key, length);
        // The oldest of the set goes: new ones come in front.
        Array.Copy(_entries, set, _entries, set + 1, Ways - 1);
        ref Entry entry = ref _entries[set];
        entry.Key = key;
        Span<int> packed = stackalloc int[MaxIds + 1];
        ids.CopyTo(packed);
        packed[MaxIds] = length | (kind << KindShift) | (ids.Length << 8);
        entry.IdsAndHeader = Vector256.Create<int>(packed);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int SetOf(Vector256<byte> key, int length)
    {
        Vector256<ulong> words = key.AsUInt64();
        ulong hash = ((words[0] ^ (ulong)(uint)length) * 0x9E3779B97F4A7C15) ^ System.Numerics.BitOperations.RotateLeft(words[1] * 0xC2B2AE3D27D4EB4F, 31);
        if (length > 16)
            hash ^= (words[2] * 0x165667B19E3779F9) ^ System.Numerics.BitOperations.RotateLeft(words[3] * 0x9FB21C651E98DF25, 29);
        hash ^= hash >> 29;
        return (int)((hash * 0xBF58476D1CE4E5B9) >> 49) * Ways;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Vector256<byte> KeyNearEnd(ref byte first, int length)
    {
        Span<byte> copy = stackalloc byte[MaxKey];
        copy.Clear();
        MemoryMarshal.CreateReadOnlySpan(ref first, length).CopyTo(copy);
        return Vector256.Create<byte>(copy);
    }

    /// <summary>A cache line: the key, seven ids and, in their last place, kind, number of ids and length of the key (0: free).</summary>
    private struct Entry
    {
        public Vector256<byte> Key;
        public Vector256<int> IdsAndHeader;

        public readonly int Header => IdsAndHeader[MaxIds];
    }
}
