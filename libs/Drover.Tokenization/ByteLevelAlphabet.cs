using System.Text;

namespace Drover.Tokenization;

/// <summary>
/// The printable letters by which byte-level vocabularies write bytes: printable Latin-1 bytes stand for themselves, the others for
/// U+0100 and up, in order. From GPT-2's encoder (bytes_to_unicode).
/// </summary>
internal static class ByteLevelAlphabet
{
    private static readonly char[] Letters = MakeLetters();
    private static readonly Dictionary<char, byte> Bytes = Letters.Select((c, b) => (c, b)).ToDictionary(p => p.c, p => (byte)p.b);

    public static char LetterOf(byte value) => Letters[value];

    public static string Write(ReadOnlySpan<byte> bytes)
    {
        var text = new StringBuilder(bytes.Length);
        foreach (byte b in bytes)
            text.Append(Letters[b]);
        return text.ToString();
    }

    /// <summary>The bytes of a piece, or null when it holds a letter that is none of the alphabet.</summary>
    public static byte[]? Read(string piece)
    {
        byte[] bytes = new byte[piece.Length];
        for (int i = 0; i < bytes.Length; i++)
        {
            if (!Bytes.TryGetValue(piece[i], out bytes[i]))
                return null;
        }

        return bytes;
    }

    private static char[] MakeLetters()
    {
        char[] letters = new char[256];
        int extra = 256;
        for (int b = 0; b < 256; b++)
        {
            bool printable = b is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF);
            letters[b] = printable ? (char)b : (char)extra++;
        }

        return letters;
    }
}
