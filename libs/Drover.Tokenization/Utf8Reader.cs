using System.Runtime.CompilerServices;

namespace Drover.Tokenization;

/// <summary>Reads code points of text that is known to be valid UTF-8.</summary>
internal static class Utf8Reader
{
    /// <summary>The code point at a place, and its length in bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Read(ref byte at, out int size)
    {
        int b = at;
        if (b < 0x80)
        {
            size = 1;
            return b;
        }

        int second = Unsafe.Add(ref at, 1) & 0x3F;
        if (b < 0xE0)
        {
            size = 2;
            return ((b & 0x1F) << 6) | second;
        }

        int third = Unsafe.Add(ref at, 2) & 0x3F;
        if (b < 0xF0)
        {
            size = 3;
            return ((b & 0x0F) << 12) | (second << 6) | third;
        }

        size = 4;
        return ((b & 0x07) << 18) | (second << 12) | (third << 6) | (Unsafe.Add(ref at, 3) & 0x3F);
    }
}
