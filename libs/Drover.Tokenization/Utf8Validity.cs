using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Text;
using System.Text.Unicode;

namespace Drover.Tokenization;

/// <summary>
/// Whether bytes are UTF-8. The system's own check goes character by character through text that is not ASCII; every byte of a corpus is
/// checked, and of one in Chinese that took longer than to parse it. Algorithm: Keiser and Lemire, Validating UTF-8 In Less Than One Instruction
/// Per Byte (arXiv:2010.03090): what a byte and the one before it have in their upper and lower halves says, by three tables, what is wrong.
/// </summary>
public static class Utf8Validity
{
    // What can be wrong with two bytes that follow each other.
    private const byte TooShort = 1 << 0;    // a lead, and no continuation
    private const byte TooLong = 1 << 1;     // ASCII, and a continuation
    private const byte Overlong3 = 1 << 2;   // E0 80..9F
    private const byte TooLarge = 1 << 3;    // F4 90 and more
    private const byte Surrogate = 1 << 4;   // ED A0..BF
    private const byte Overlong2 = 1 << 5;   // C0, C1
    private const byte Overlong4 = 1 << 6;   // F0 80..8F
    private const byte TooLarge1000 = 1 << 6; // F5 80..8F and more
    private const byte TwoContinuations = 1 << 7;
    private const byte AnyLow = TooShort | TooLong | TwoContinuations;
    private const byte AnyLarge = AnyLow | TooLarge | TooLarge1000;
    private const byte AfterAny = TooLong | Overlong2 | TwoContinuations;

    private const int Block = 16;
    private const int AsciiBlocks = 4;
    // Bytes before one that say what it has to be.
    private const int Before = 3;

    /// <summary>Whether bytes are well-formed UTF-8 from the first to the last.</summary>
    public static bool IsValid(ReadOnlySpan<byte> utf8)
    {
        if (utf8.Length < 2 * Block || !Vector128.IsHardwareAccelerated)
            return Utf8.IsValid(utf8);
        if (Ascii.IsValid(utf8))
            return true;
        Span<byte> edge = stackalloc byte[Before + Block];
        edge[..Before].Clear();
        utf8[..Block].CopyTo(edge[Before..]);
        Vector128<byte> wrong = Wrong(ref edge[Before], Block);
        int blocks = (utf8.Length / Block) - 1;
        wrong |= Wrong(ref Unsafe.Add(ref MemoryMarshal.GetReference(utf8), Block), blocks * Block);
        // At least one zero behind the rest: a character that is open there is too short.
        edge.Clear();
        utf8[(Block + (blocks * Block) - Before)..].CopyTo(edge);
        return (wrong | Wrong(ref edge[Before], Block)) == Vector128<byte>.Zero;
    }

    // What is wrong with bytes in whole blocks, given the three before them. A method without calls, so that the loop keeps its vectors in registers.
    private static Vector128<byte> Wrong(ref byte first, nint length)
    {
        Vector128<byte> wrong = default;
        var tables = new Tables();
        for (nint at = 0; at < length;)
        {
            ref byte here = ref Unsafe.Add(ref first, at);
            // Behind ASCII no character is open.
            if (length - at >= AsciiBlocks * Block && Unsafe.Add(ref here, -1) < 0x80 && IsAscii(ref here))
            {
                at += AsciiBlocks * Block;
                continue;
            }

            wrong |= tables.Wrong(ref here);
            at += Block;
        }

        return wrong;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool IsAscii(ref byte first) =>
        ((Vector128.LoadUnsafe(ref first) | Vector128.LoadUnsafe(ref first, Block) | Vector128.LoadUnsafe(ref first, 2 * Block) | Vector128.LoadUnsafe(ref first, 3 * Block)) & Vector128.Create((byte)0x80)) == Vector128<byte>.Zero;

    // What half of a byte, and of the one before it, does not exclude. Together they stay in registers.
    private readonly ref struct Tables
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Tables()
        {
        }

        private readonly Vector128<byte> _upperBefore = Vector128.Create(
            TooLong, TooLong, TooLong, TooLong, TooLong, TooLong, TooLong, TooLong, TwoContinuations, TwoContinuations, TwoContinuations, TwoContinuations,
            TooShort | Overlong2, TooShort, TooShort | Overlong3 | Surrogate, TooShort | TooLarge | TooLarge1000 | Overlong4);

        private readonly Vector128<byte> _lowerBefore = Vector128.Create(
            AnyLow | Overlong3 | Overlong2 | Overlong4, AnyLow | Overlong2, AnyLow, AnyLow, AnyLow | TooLarge, AnyLarge, AnyLarge, AnyLarge,
            AnyLarge, AnyLarge, AnyLarge, AnyLarge, AnyLarge, AnyLarge | Surrogate, AnyLarge, AnyLarge);

        private readonly Vector128<byte> _upper = Vector128.Create(
            TooShort, TooShort, TooShort, TooShort, TooShort, TooShort, TooShort, TooShort,
            AfterAny | Overlong3 | TooLarge1000 | Overlong4, AfterAny | Overlong3 | TooLarge, AfterAny | Surrogate | TooLarge, AfterAny | Surrogate | TooLarge,
            TooShort, TooShort, TooShort, TooShort);

        /// <summary>What is wrong with 16 bytes, given the three before them.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Vector128<byte> Wrong(ref byte first)
        {
            Vector128<byte> bytes = Vector128.LoadUnsafe(ref first);
            Vector128<byte> before = Vector128.LoadUnsafe(ref Unsafe.Add(ref first, -1));
            Vector128<byte> pairs = Vector128.ShuffleNative(_upperBefore, Upper(before))
                & Vector128.ShuffleNative(_lowerBefore, before & Vector128.Create((byte)0x0F))
                & Vector128.ShuffleNative(_upper, Upper(bytes));
            // The third byte of a character of three, the third and fourth of one of four: two continuations are right there, and only there.
            Vector128<byte> third = Vector128.SubtractSaturate(Vector128.LoadUnsafe(ref Unsafe.Add(ref first, -2)), Vector128.Create((byte)(0xE0 - 0x80)));
            Vector128<byte> fourth = Vector128.SubtractSaturate(Vector128.LoadUnsafe(ref Unsafe.Add(ref first, -3)), Vector128.Create((byte)(0xF0 - 0x80)));
            return ((third | fourth) & Vector128.Create((byte)0x80)) ^ pairs;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static Vector128<byte> Upper(Vector128<byte> bytes) => (bytes.AsUInt16() >> 4).AsByte() & Vector128.Create((byte)0x0F);
    }
}
