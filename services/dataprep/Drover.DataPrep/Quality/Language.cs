using System.Collections.Frozen;
using System.Text;

namespace Drover.DataPrep.Quality;

/// <summary>
/// Tells a text's language, coarsely and for statistics and filters: from its script where a language has its own; in Latin script
/// from the share of its commonest words. Looks at the first characters only.
/// </summary>
internal static class Language
{
    /// <summary>Neither script nor words say.</summary>
    public const string Other = "other";

    private const int MostCharacters = 1000;

    // Of a text, at least this share of words must be among a language's commonest.
    private const double LeastShare = 0.08;

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

    // A word, and a bit for each language that it is common in.
    private static readonly FrozenDictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> LanguagesOfWord = Common
        .SelectMany((c, i) => c.Words.Split(' ').Select(word => (word, 1 << i)))
        .GroupBy(w => w.word, w => w.Item2, StringComparer.Ordinal)
        .ToFrozenDictionary(g => g.Key, g => g.Sum(), StringComparer.Ordinal)
        .GetAlternateLookup<ReadOnlySpan<char>>();

    /// <summary>Languages that <see cref="Of"/> can answer.</summary>
    public static IReadOnlyList<string> All { get; } = ["zh", "ja", "ko", "ru", "el", "ar", "he", "th", "hi", .. Common.Select(c => c.Language), Other];

    /// <summary>The language of a text.</summary>
    public static string Of(string text)
    {
        ReadOnlySpan<char> head = text.AsSpan(0, Math.Min(text.Length, MostCharacters));
        int letters = 0, latin = 0, han = 0, kana = 0;
        Span<int> others = stackalloc int[7];
        foreach (Rune rune in head.EnumerateRunes())
        {
            if (!Rune.IsLetter(rune))
                continue;
            letters++;
            switch (rune.Value)
            {
                case <= 0x24f:
                    latin++;
                    break;
                case >= 0x4e00 and <= 0x9fff or >= 0x3400 and <= 0x4dbf or >= 0x20000 and <= 0x323af:
                    han++;
                    break;
                case >= 0x3040 and <= 0x30ff:
                    kana++;
                    break;
                case >= 0xac00 and <= 0xd7a3:
                    others[0]++;
                    break;
                case >= 0x400 and <= 0x52f:
                    others[1]++;
                    break;
                case >= 0x370 and <= 0x3ff:
                    others[2]++;
                    break;
                case >= 0x600 and <= 0x6ff:
                    others[3]++;
                    break;
                case >= 0x590 and <= 0x5ff:
                    others[4]++;
                    break;
                case >= 0xe00 and <= 0xe7f:
                    others[5]++;
                    break;
                case >= 0x900 and <= 0x97f:
                    others[6]++;
                    break;
            }
        }

        if (kana * 10 > letters)
            return "ja";
        // An ideograph says as much as several letters.
        if (han * 3 > letters)
            return "zh";
        for (int i = 0; i < others.Length; i++)
        {
            if (others[i] * 2 > letters)
                return All[i + 2];
        }

        return latin * 2 > letters ? OfWords(head) : Other;
    }

    private static string OfWords(ReadOnlySpan<char> text)
    {
        const int LongestCommon = 8;
        Span<char> lower = stackalloc char[LongestCommon];
        Span<int> hits = stackalloc int[7];
        int words = 0;
        for (int at = 0; at < text.Length;)
        {
            int length = 0;
            while (at + length < text.Length && char.IsLetter(text[at + length]))
                length++;
            if (length == 0)
            {
                at++;
                continue;
            }

            words++;
            if (length <= LongestCommon && LanguagesOfWord.TryGetValue(lower[..text.Slice(at, length).ToLowerInvariant(lower)], out int languages))
            {
                for (int i = 0; i < hits.Length; i++)
                    hits[i] += (languages >> i) & 1;
            }

            at += length;
        }

        int best = 0;
        for (int i = 1; i < hits.Length; i++)
            best = hits[i] > hits[best] ? i : best;
        return words > 0 && hits[best] >= LeastShare * words ? Common[best].Language : Other;
    }
}
