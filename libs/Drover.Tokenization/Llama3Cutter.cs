using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Drover.Tokenization;

/// <summary>
/// Cuts as LLaMA-3's pattern does (<see cref="Formats.TokenizerJson.TokenizerJsonModel.Llama3Pattern"/>), and Qwen's, which differs in
/// that digits stand alone. Written out by hand: a word of ASCII letters takes one compare of 32 bytes instead of a regular expression.
/// </summary>
/// <param name="maxDigits">How many digits stand together.</param>
internal readonly struct Llama3Cutter(int maxDigits) : IWordCutter
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Next(ref byte text, int length)
    {
        // A word of ASCII letters, maybe with one other ASCII character before it: nearly all of Latin text.
        if (length >= Vector256<byte>.Count && text != '\'')
        {
            Vector256<byte> bytes = Vector256.LoadUnsafe(ref text);
            uint letters = Vector256.LessThan((bytes | Vector256.Create((byte)0x20)) - Vector256.Create((byte)'a'), Vector256.Create((byte)26)).ExtractMostSignificantBits();
            uint run = (letters | 1) + 1;
            if (run != 0 && ((letters & 1) != 0 || ((letters & 2) != 0 && IsLead(text))))
            {
                int end = System.Numerics.BitOperations.TrailingZeroCount(run);
                if (Unsafe.Add(ref text, end) < 0x80)
                    return end;
            }
        }

        return NextSlow(ref text, length);
    }

    // [^\r\n\p{L}\p{N}] in ASCII that is no letter.
    private static bool IsLead(byte c) => c < 0x80 && c != '\r' && c != '\n' && (uint)(c - '0') > 9;

    [MethodImpl(MethodImplOptions.NoInlining)]
    private int NextSlow(ref byte text, int length)
    {
        var at = new Cursor(ref text, length);
        if (text == '\'' && Contraction(ref text, length) is var contraction and > 0)
            return contraction;
        CharacterClass first = at.Class;
        if (first == CharacterClass.Letter)
            return at.Skip(CharacterClass.Letter);
        if (first is CharacterClass.Other or CharacterClass.Space)
        {
            // [^\r\n\p{L}\p{N}]?\p{L}+
            Cursor second = at.Following;
            if (second.Class == CharacterClass.Letter)
                return second.Skip(CharacterClass.Letter);
        }

        if (first == CharacterClass.Number)
        {
            // \p{N}{1,3}
            for (int n = 0; n < maxDigits && at.Class == CharacterClass.Number && !at.AtEnd; n++)
                at = at.Following;
            return at.Offset;
        }

        // " ?[^\s\p{L}\p{N}]+[\r\n]*"
        Cursor symbols = text == ' ' ? at.Following : at;
        if (!symbols.AtEnd && symbols.Class == CharacterClass.Other)
        {
            var lineEnds = new Cursor(ref text, length, symbols.Skip(CharacterClass.Other));
            return lineEnds.Skip(CharacterClass.NewLine);
        }

        return Spaces(at);
    }

    // \s*[\r\n]+ takes up to the last line end of a run of spaces; else \s+(?!\S) leaves one space to the next word; else \s+.
    private static int Spaces(Cursor at)
    {
        int lastLineEnd = 0;
        int lastSpace = 0;
        for (; !at.AtEnd && at.Class is CharacterClass.Space or CharacterClass.NewLine; at = at.Following)
        {
            lastSpace = at.Offset;
            if (at.Class == CharacterClass.NewLine)
                lastLineEnd = at.Offset + at.Size;
        }

        if (lastLineEnd > 0)
            return lastLineEnd;
        return at.AtEnd || lastSpace == 0 ? at.Offset : lastSpace;
    }

    // (?i:'s|'t|'re|'ve|'m|'ll|'d)
    private static int Contraction(ref byte text, int length)
    {
        if (length < 2)
            return 0;
        int first = Unsafe.Add(ref text, 1) | 0x20;
        if (first is 's' or 't' or 'm' or 'd')
            return 2;
        if (length < 3)
            return 0;
        // U+017F is a case form of s.
        if (Unsafe.Add(ref text, 1) == 0xC5 && Unsafe.Add(ref text, 2) == 0xBF)
            return 3;
        int second = Unsafe.Add(ref text, 2) | 0x20;
        return (first, second) is ('r', 'e') or ('v', 'e') or ('l', 'l') ? 3 : 0;
    }
}
