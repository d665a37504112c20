using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Text;

namespace Drover.DataPrep.Quality;

/// <summary>
/// Tells a text's language, coarsely and for statistics and filters: from its script where a language has its own; in Latin script
/// from the share of its commonest words. Looks at the first bytes only, because it does so for every document.
/// </summary>
internal static class Language
{
    /// <summary>Neither script nor words say.</summary>
    public const string Other = "other";

    private const int MostBytes = 600;

    // Of a text, at least this share of words must be among a language's commonest.
    private const double LeastShare = 0.08;
    private const int OtherScripts = 7;

    private static readonly (string Language, string Words)[] Common =
    [
        ("en", "the of and to in is that it for was with as on be at by this are from have not you"),
        ("de", "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es"),
        ("fr", "de la le et les des en un du une que est pour qui dans par au sur pas plus ne se"),
        ("es", "de la que el en y a los del se las por un para con no una su al lo es"),
        ("it", "di e il la che in a per un è del non una le con si da i dei al della"),
        ("pt", "de a o que e do da em um para com não uma os no se na por mais as dos"),
        ("nl", "de van het een en in is dat op te zijn met voor niet aan er om ook als dan"),
    ];

    private static readonly CommonWords Words = new([.. Common.Select(c => c.Words.Split(' '))]);

    /// <summary>Languages that <see cref="Of(string)"/> can answer.</summary>
    public static IReadOnlyList<string> All { get; } = ["zh", "ja", "ko", "ru", "el", "ar", "he", "th", "hi", .. Common.Select(c => c.Language), Other];

    /// <summary>The language of a text.</summary>
    public static string Of(string text) => Of(Encoding.UTF8.GetBytes(text[..Math.Min(text.Length, MostBytes)]));

    /// <summary>The language of a text of valid UTF-8.</summary>
    public static string Of(ReadOnlySpan<byte> utf8)
    {
        // Zeros behind the text, so that vectors may be read from any place in it and from the next.
        Span<byte> head = stackalloc byte[MostBytes + (2 * Vector256<byte>.Count)];
        int length = Math.Min(utf8.Length, MostBytes);
        while (length < utf8.Length && (utf8[length] & 0xC0) == 0x80)
            length--;
        utf8[..length].CopyTo(head);
        head[length..].Clear();
        var letters = Letters.Of(head, length);
        return letters.Script() ?? (letters.Latin * 2 > letters.All ? OfWords(head, length) : Other);
    }

    private static string OfWords(ReadOnlySpan<byte> text, int length)
    {
        Span<int> hits = stackalloc int[Common.Length];
        hits.Clear();
        int words = 0;
        for (int at = 0; at < length;)
        {
            uint mask = LetterMask(text, at);
            if ((mask & 1) == 0)
            {
                at += mask == 0 ? Vector256<byte>.Count : BitOperations.TrailingZeroCount(mask);
                continue;
            }

            int end = BitOperations.TrailingZeroCount(~mask);
            words++;
            for (int languages = Words.LanguagesOf(text[at..], end); languages != 0; languages &= languages - 1)
                hits[BitOperations.TrailingZeroCount(languages)]++;
            at += end;
            // Of a word of 32 letters and more, the rest.
            while (at < length && (LetterMask(text, at) & 1) != 0)
                at++;
        }

        int best = 0;
        for (int i = 1; i < hits.Length; i++)
            best = hits[i] > hits[best] ? i : best;
        return words > 0 && hits[best] >= LeastShare * words ? Common[best].Language : Other;
    }

    // A bit for each of 32 bytes that is an ASCII letter or begins or continues a letter of up to U+07FF.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint LetterMask(ReadOnlySpan<byte> text, int at)
    {
        Vector256<byte> bytes = Vector256.LoadUnsafe(ref MemoryMarshal.GetReference(text), (nuint)at);
        uint ascii = Vector256.LessThan((bytes | Vector256.Create((byte)0x20)) - Vector256.Create((byte)'a'), Vector256.Create((byte)26)).ExtractMostSignificantBits();
        // C2 leads to signs, E0 and more to ideographs, dashes and quotation marks.
        uint leads = Vector256.LessThan(bytes - Vector256.Create((byte)0xC3), Vector256.Create((byte)0x1D)).ExtractMostSignificantBits();
        return ascii | leads | (leads << 1);
    }

    /// <summary>How many letters of which script a text has.</summary>
    private ref struct Letters
    {
        private int _han;
        private int _kana;
        private Scripts _others;

        public int All { get; private set; }

        public int Latin { get; private set; }

        // 32 bytes at a time: of Latin and Chinese it is enough to count which bytes there are, whatever the order; other characters are looked at one
        // by one. A byte that continues a character counts for nothing, so that a character may lie across two vectors.
        public static Letters Of(ReadOnlySpan<byte> text, int length)
        {
            Letters letters = default;
            ref byte first = ref MemoryMarshal.GetReference(text);
            for (int at = 0; at < length; at += Vector256<byte>.Count)
            {
                Vector256<byte> bytes = Vector256.LoadUnsafe(ref first, (nuint)at);
                int latin = BitOperations.PopCount(Vector256.LessThan((bytes | Vector256.Create((byte)0x20)) - Vector256.Create((byte)'a'), Vector256.Create((byte)26)).ExtractMostSignificantBits());
                letters.All += latin;
                letters.Latin += latin;
                uint leads = Vector256.GreaterThanOrEqual(bytes, Vector256.Create((byte)0xC0)).ExtractMostSignificantBits();
                if (leads == 0)
                    continue;
                // U+5000 to U+9FFF: nearly all of Chinese.
                uint han = Vector256.LessThan(bytes - Vector256.Create((byte)0xE5), Vector256.Create((byte)5)).ExtractMostSignificantBits();
                letters.All += BitOperations.PopCount(han);
                letters._han += BitOperations.PopCount(han);
                // Punctuation of Chinese: U+3000 to U+303F, and wide forms.
                uint signs = (Vector256.Equals(bytes, Vector256.Create((byte)0xEF))
                    | (Vector256.Equals(bytes, Vector256.Create((byte)0xE3)) & Vector256.Equals(Vector256.LoadUnsafe(ref first, (nuint)at + 1), Vector256.Create((byte)0x80)))).ExtractMostSignificantBits();
                for (uint others = leads & ~(han | signs); others != 0; others &= others - 1)
                {
                    Rune.DecodeFromUtf8(text[(at + BitOperations.TrailingZeroCount(others))..], out Rune rune, out _);
                    letters.Add(rune);
                }
            }

            return letters;
        }

        public readonly string? Script()
        {
            if (_kana * 10 > All)
                return "ja";
            // An ideograph says as much as several letters.
            if (_han * 3 > All)
                return "zh";
            for (int i = 0; i < OtherScripts; i++)
            {
                if (_others[i] * 2 > All)
                    return Language.All[i + 2];
            }

            return null;
        }

        private void Add(Rune rune)
        {
            if (rune.Value is >= 0x4e00 and <= 0x9fff)
            {
                All++;
                _han++;
                return;
            }

            if (!Rune.IsLetter(rune))
                return;
            All++;
            switch (rune.Value)
            {
                case <= 0x24f:
                    Latin++;
                    break;
                case >= 0x3400 and <= 0x4dbf or >= 0x20000 and <= 0x323af:
                    _han++;
                    break;
                case >= 0x3040 and <= 0x30ff:
                    _kana++;
                    break;
                case >= 0xac00 and <= 0xd7a3:
                    _others[0]++;
                    break;
                case >= 0x400 and <= 0x52f:
                    _others[1]++;
                    break;
                case >= 0x370 and <= 0x3ff:
                    _others[2]++;
                    break;
                case >= 0x600 and <= 0x6ff:
                    _others[3]++;
                    break;
                case >= 0x590 and <= 0x5ff:
                    _others[4]++;
                    break;
                case >= 0xe00 and <= 0xe7f:
                    _others[5]++;
                    break;
                case >= 0x900 and <= 0x97f:
                    _others[6]++;
                    break;
            }
        }
    }

    [InlineArray(OtherScripts)]
    private struct Scripts
    {
        private int _first;
    }
}
