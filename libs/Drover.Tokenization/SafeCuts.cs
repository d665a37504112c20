using System.Buffers;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Text;

namespace Drover.Tokenization;

/// <summary>
/// Between which characters no piece goes: there a text may be cut and its parts be encoded alone, with the same ids. Kept as bits of
/// hashed pairs; a collision only means a cut that is not taken.
/// </summary>
internal sealed class SafeCuts
{
    private const int BitCount = 1 << 21;
    private const int LowBits = 0xFFF;
    private const int PartialLast = 0x110000;
    private const int PartialLead = 0x110100;
    private readonly ulong[] _pairs = new ulong[BitCount / 64];
    private readonly ulong[] _ascii = new ulong[128 * 128 / 64];

    // By the low bits of the whole character, and by the lead byte where neither is whole: most borders need no look at parts.
    private readonly bool[] _beforePartial = new bool[LowBits + 1];
    private readonly bool[] _afterPartial = new bool[LowBits + 1];
    private readonly bool[] _betweenPartials = new bool[256];

    /// <summary>Notes that a piece joins the characters within it. Bytes at its ends may be parts of characters (byte-level).</summary>
    public void Join(ReadOnlySpan<byte> piece)
    {
        for (int cut = 1; cut < piece.Length; cut++)
        {
            if ((piece[cut] & 0xC0) == 0x80)
                continue; // inside a character: texts are not cut there
            bool wholeLeft = Rune.DecodeLastFromUtf8(piece[..cut], out Rune left, out _) == OperationStatus.Done;
            bool wholeRight = Rune.DecodeFromUtf8(piece[cut..], out Rune right, out _) == OperationStatus.Done;
            _beforePartial[left.Value & LowBits] |= wholeLeft && !wholeRight;
            _afterPartial[right.Value & LowBits] |= wholeRight && !wholeLeft;
            _betweenPartials[piece[cut]] |= !wholeLeft && !wholeRight;
            Set(wholeLeft ? left.Value : PartialLast + piece[cut - 1], wholeRight ? right.Value : PartialLead + piece[cut]);
        }
    }

    /// <summary>Whether some piece may go over the border between two characters, where no piece has parts of characters.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Joined(int left, int right)
    {
        if ((left | right) >= 128)
            return Get(left, right);
        int bit = (left << 7) | right;
        return (_ascii[bit >> 6] >> bit & 1) != 0;
    }

    /// <summary>The same where pieces may have parts of characters, given also the bytes at the border.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Joined(int left, int right, byte lastOfLeft, byte firstOfRight) =>
        Joined(left, right)
        || ((_beforePartial[left & LowBits] || _afterPartial[right & LowBits] || _betweenPartials[firstOfRight]) && JoinedInParts(left, right, lastOfLeft, firstOfRight));

    private bool JoinedInParts(int left, int right, byte lastOfLeft, byte firstOfRight) =>
        Get(left, PartialLead + firstOfRight) || Get(PartialLast + lastOfLeft, right) || Get(PartialLast + lastOfLeft, PartialLead + firstOfRight);

    private void Set(int left, int right)
    {
        if ((left | right) < 128)
            _ascii[((left << 7) | right) >> 6] |= 1UL << (((left << 7) | right) & 63);
        int bit = BitOf(left, right);
        _pairs[bit >> 6] |= 1UL << (bit & 63);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool Get(int left, int right)
    {
        int bit = BitOf(left, right);
        return (_pairs[bit >> 6] >> bit & 1) != 0;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int BitOf(int left, int right) =>
        (int)(((((ulong)(uint)left << 32) | (uint)right) * 0x9E3779B97F4A7C15) >> (64 - BitOperations.Log2(BitCount)));
}
