using System.Text;
using Drover.Formats.SentencePiece;

namespace Drover.Tokenization;

/// <summary>LLaMA-3's family: text is cut into words by a pattern, and the UTF-8 bytes of each word merge.</summary>
internal sealed class ByteLevelTokenizer : BpeTokenizer
{
    private readonly int[] _bytes = new int[256];
    private readonly byte[]?[] _bytesOfId;
    private readonly Dictionary<string, int> _ids = new(StringComparer.Ordinal);
    private readonly WordCache _cache = new();

    public ByteLevelTokenizer(Vocabulary vocabulary)
        : base(vocabulary)
    {
        _bytesOfId = new byte[]?[vocabulary.Pieces.Count];
        for (int id = 0; id < vocabulary.Pieces.Count; id++)
        {
            SentencePiece piece = vocabulary.Pieces[id];
            if (piece.Kind != SentencePieceKind.Normal)
                continue;
            _ids.TryAdd(piece.Text, id);
            _bytesOfId[id] = ByteLevelAlphabet.Read(piece.Text);
            if (_bytesOfId[id] is [byte single])
                _bytes[single] = id;
        }
    }

    public override int[] Encode(string text)
    {
        var ids = new List<int>(text.Length / 3 + 4);
        ReadOnlySpan<char> rest = text;
        while (!rest.IsEmpty)
        {
            int length = Llama3Words.Next(rest);
            ReadOnlySpan<char> word = rest[..length];
            rest = rest[length..];
            if (_cache.Find(word) is not { } known)
            {
                known = EncodeBytes(Encoding.UTF8.GetBytes(word.ToString()));
                _cache.Keep(word, known);
            }

            ids.AddRange(known);
        }

        return [.. ids];
    }

    public override int[] EncodePiece(string piece) => EncodeBytes(ByteLevelAlphabet.Read(piece) ?? Encoding.UTF8.GetBytes(piece));

    protected override void AppendBytes(int id, List<byte> bytes) => bytes.AddRange(_bytesOfId[id] ?? []);

    private int[] EncodeBytes(byte[] word)
    {
        if (Vocabulary.IgnoreMerges && _ids.TryGetValue(ByteLevelAlphabet.Write(word), out int whole))
            return [whole];
        int[] symbols = Array.ConvertAll(word, b => _bytes[b]);
        return symbols[..Table.Apply(symbols)];
    }
}
