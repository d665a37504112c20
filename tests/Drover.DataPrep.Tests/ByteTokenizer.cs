using System.Security.Cryptography;
using System.Text;
using Drover.Tokenization;

namespace Drover.DataPrep.Tests;

/// <summary>Bytes are tokens, but for merges: pairs of bytes that are one token wherever they stand.</summary>
internal sealed class ByteTokenizer(params string[] merges) : ITextTokenizer
{
    private const int FirstByte = 3;

    public TokenizerFamily Family => TokenizerFamily.ByteLevelBpe;

    public int VocabularySize => FirstByte + 256 + merges.Length;

    public int BosId => 1;

    public int EosId => 2;

    public int PadId => -1;

    public int UnkId => 0;

    public string ContentHash => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(string.Join('\n', merges))));

    public int[] Encode(string text)
    {
        var ids = new List<int>();
        for (int i = 0; i < text.Length;)
        {
            int merge = Array.FindIndex(merges, m => string.CompareOrdinal(text, i, m, 0, m.Length) == 0);
            int taken = merge >= 0 ? merges[merge].Length : char.IsHighSurrogate(text[i]) ? 2 : 1;
            if (merge >= 0)
                ids.Add(FirstByte + 256 + merge);
            else
                ids.AddRange(Encoding.UTF8.GetBytes(text.Substring(i, taken)).Select(b => FirstByte + b));
            i += taken;
        }

        return [.. ids];
    }

    public string Decode(IReadOnlyList<int> ids, bool skipSpecialTokens) => Encoding.UTF8.GetString([.. ids.SelectMany(id => IsSpecial(id) && !skipSpecialTokens ? Encoding.UTF8.GetBytes($"<{id}>") : Bytes(id))]);

    public string PieceOf(int id) => Encoding.UTF8.GetString(Bytes(id));

    public bool IsSpecial(int id) => id < FirstByte;

    private byte[] Bytes(int id) => id < FirstByte ? [] : id < FirstByte + 256 ? [(byte)(id - FirstByte)] : Encoding.UTF8.GetBytes(merges[id - FirstByte - 256]);
}
