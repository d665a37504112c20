using System.Text;

namespace Drover.Tokenization.ParityProgram;

/// <summary>
/// Texts meant to find differences: scripts mixed within a word, emoji with joiners, combining marks, all kinds of spaces, controls,
/// names of special tokens, runs of one character, and pieces of the vocabulary glued together.
/// </summary>
internal sealed class GeneratedTexts(int seed, IReadOnlyList<string> pieces)
{
    private static readonly string[] Spaces = [" ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\r", " \n", "\n ", "\u00A0", "\u3000", "\u2003", "\u2028", "\u0085", "\u200B", "\uFEFF", "▁"];
    private static readonly string[] Odd = ["<s>", "</s>", "<unk>", "<0x0A>", "<|begin_of_text|>", "<|eot_id|>", "'s", "'S", "'ll", "'Re", "'ſ", "’s", "\u0000", "\u0001", "\u001F", "\u007F", "\uFFFD", "\u200D", "\uFE0F", "👍🏽", "👨‍👩‍👧‍👦", "🇩🇪", "½", "²", "Ⅷ", "①", "٣", "०", "﷽", "ﬁ", "İ", "ß", "ﷺ"];
    private static readonly (int First, int Last)[] Ranges =
    [
        (0x21, 0x7E), (0x61, 0x7A), (0x61, 0x7A), (0x41, 0x5A), (0x30, 0x39), (0xA1, 0xFF), (0x100, 0x24F), (0x300, 0x36F), (0x391, 0x3C9), (0x410, 0x44F), (0x5D0, 0x5EA), (0x621, 0x64A),
        (0x905, 0x939), (0xE01, 0xE2E), (0x1100, 0x11FF), (0x2000, 0x206F), (0x20A0, 0x20BF), (0x2190, 0x22FF), (0x2500, 0x257F), (0x3001, 0x303F), (0x3041, 0x3093), (0x30A1, 0x30F6),
        (0x4E00, 0x9FA5), (0x4E00, 0x51FF), (0xAC00, 0xD7A3), (0xE000, 0xE0FF), (0xFF01, 0xFF5E), (0x10400, 0x1044F), (0x1D400, 0x1D4FF), (0x1F300, 0x1F64F), (0x20000, 0x200FF),
    ];

    private readonly Random _random = new(seed);

    public string Next()
    {
        var text = new StringBuilder();
        int parts = 1 + _random.Next(_random.Next(8) == 0 ? 30 : 7);
        for (int i = 0; i < parts; i++)
        {
            AddPart(text);
            if (_random.Next(2) == 0)
                text.Append(_random.Next(3) > 0 ? " " : Pick(Spaces));
        }

        return text.ToString();
    }

    private void AddPart(StringBuilder text)
    {
        switch (_random.Next(10))
        {
            case 0:
                text.Append(Pick(Odd));
                break;
            case 1:
                text.Append(Pick(Spaces)).Append(Pick(Spaces));
                break;
            case 2:
                string run = _random.Next(3) == 0 ? Character().ToString() : Pick(Spaces);
                for (int n = _random.Next(40); n > 0; n--)
                    text.Append(run);
                break;
            case 3 or 4 or 5:
                for (int n = 1 + _random.Next(4); n > 0; n--)
                    text.Append(Pick(pieces));
                break;
            case 6:
                for (int n = 1 + _random.Next(12); n > 0; n--)
                    text.Append(Character());
                break;
            default:
                (int first, int last) = Ranges[_random.Next(Ranges.Length)];
                for (int n = 1 + _random.Next(12); n > 0; n--)
                    text.Append(new Rune(_random.Next(first, last + 1)));
                break;
        }
    }

    private string Pick(IReadOnlyList<string> from) => from[_random.Next(from.Count)];

    private Rune Character()
    {
        (int first, int last) = Ranges[_random.Next(Ranges.Length)];
        return new Rune(_random.Next(first, last + 1));
    }
}
