namespace Drover.Tokenization;

/// <summary>
/// Cuts as GPT-2's pattern does, which the ByteLevel step of tokenizers has in itself:
/// <c>'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+</c>.
/// </summary>
internal readonly struct Gpt2Cutter : IWordCutter
{
    public int Next(ref byte text, int length)
    {
        if (text == '\'' && Contraction(ref text, length) is var contraction and > 0)
            return contraction;
        var at = new Cursor(ref text, length);
        Cursor word = text == ' ' ? at.Following : at;
        if (!word.AtEnd && word.Class is CharacterClass.Letter or CharacterClass.Number or CharacterClass.Other)
            return word.Skip(word.Class);
        int lastSpace = 0;
        for (; !at.AtEnd && at.Class is CharacterClass.Space or CharacterClass.NewLine; at = at.Following)
            lastSpace = at.Offset;
        // One space is left to the next word.
        return at.AtEnd || lastSpace == 0 ? at.Offset : lastSpace;
    }

    private static int Contraction(ref byte text, int length)
    {
        if (length < 2)
            return 0;
        char first = (char)System.Runtime.CompilerServices.Unsafe.Add(ref text, 1);
        if (first is 's' or 't' or 'm' or 'd')
            return 2;
        char second = length > 2 ? (char)System.Runtime.CompilerServices.Unsafe.Add(ref text, 2) : '\0';
        return (first, second) is ('r', 'e') or ('v', 'e') or ('l', 'l') ? 3 : 0;
    }
}
