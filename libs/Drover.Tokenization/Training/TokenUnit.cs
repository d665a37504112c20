using System.Text;

namespace Drover.Tokenization.Training;

/// <summary>A word as the base tokenizer leaves it: stretches of whole characters, and how many tokens each takes.</summary>
internal readonly record struct TokenUnit(string Text, int Tokens)
{
    /// <summary>
    /// Cuts a word. A piece is a unit of one token; a character without a piece, or tokens that hold parts of characters, are a unit of
    /// several.
    /// </summary>
    public static List<TokenUnit> Of(string word, BpeTokenizer tokenizer)
    {
        var units = new List<TokenUnit>(word.Length);
        bool byteLevel = tokenizer.Family == TokenizerFamily.ByteLevelBpe;
        byte[] utf8 = Encoding.UTF8.GetBytes(byteLevel ? word.Replace('▁', ' ') : word);
        int from = 0, at = 0, tokens = 0;
        foreach (int id in tokenizer.EncodePiece(byteLevel ? ByteLevelAlphabet.Write(utf8) : word))
        {
            at += tokenizer.LengthInBytes(id);
            tokens++;
            if (at < utf8.Length && (utf8[at] & 0xC0) == 0x80)
                continue; // within a character
            units.Add(new TokenUnit(Encoding.UTF8.GetString(utf8, from, at - from), tokens));
            (from, tokens) = (at, 0);
        }

        return units;
    }
}
