using System.Globalization;
using System.Text;
using Drover.Formats.SentencePiece;
using Drover.Formats.TokenizerJson;

namespace Drover.Tokenization;

/// <summary>
/// LLaMA-2's family: spaces become U+2581, characters merge, and a character without a piece becomes its UTF-8 bytes.
/// Algorithm: SentencePiece's BPE (github.com/google/sentencepiece, bpe_model.cc); ids are equal to its.
/// </summary>
internal sealed class SentencePieceTokenizer : BpeTokenizer
{
    public const char Space = '▁';
    private readonly Dictionary<int, int> _characters = [];
    private readonly int[] _bytes = new int[256];
    private readonly int[] _byteOfId;
    private readonly bool _wordsStandAlone;
    private readonly WordCache _cache = new();

    public SentencePieceTokenizer(Vocabulary vocabulary)
        : base(vocabulary)
    {
        _byteOfId = new int[vocabulary.Pieces.Count];
        _wordsStandAlone = true;
        for (int id = 0; id < vocabulary.Pieces.Count; id++)
        {
            SentencePiece piece = vocabulary.Pieces[id];
            _byteOfId[id] = -1;
            if (piece.Kind == SentencePieceKind.Byte)
            {
                _byteOfId[id] = ByteOf(piece.Text)!.Value;
                _bytes[_byteOfId[id]] = id;
            }
            else if (piece.Kind is SentencePieceKind.Normal or SentencePieceKind.Unused)
            {
                if (Rune.DecodeFromUtf16(piece.Text, out Rune rune, out int used) == System.Buffers.OperationStatus.Done && used == piece.Text.Length)
                    _characters.TryAdd(rune.Value, id);
                // A piece that goes on after a space joins two words: then no cut is safe.
                _wordsStandAlone &= piece.Text.TrimStart(Space).IndexOf(Space, StringComparison.Ordinal) < 0;
            }
        }
    }

    /// <summary>The byte of "&lt;0xNN&gt;", or null.</summary>
    public static byte? ByteOf(string piece) =>
        piece.Length == 6 && piece.StartsWith("<0x", StringComparison.Ordinal) && piece[5] == '>' && byte.TryParse(piece.AsSpan(3, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out byte value)
            ? value
            : null;

    public override int[] Encode(string text)
    {
        if (text.Length == 0)
            return [];
        bool prefix = Vocabulary.Prefix == DummyPrefix.Always || (Vocabulary.Prefix == DummyPrefix.UnlessSpace && text[0] is not (' ' or Space));
        return EncodePiece((prefix ? Space.ToString() : "") + text.Replace(' ', Space));
    }

    public override int[] EncodePiece(string piece)
    {
        var ids = new List<int>(piece.Length / 2 + 4);
        ReadOnlySpan<char> rest = piece;
        while (!rest.IsEmpty)
        {
            int length = _wordsStandAlone ? WordLength(rest) : rest.Length;
            ReadOnlySpan<char> word = rest[..length];
            rest = rest[length..];
            if (_cache.Find(word) is not { } known)
            {
                known = EncodeWord(word);
                _cache.Keep(word, known);
            }

            ids.AddRange(known);
        }

        return [.. ids];
    }

    protected override void AppendBytes(int id, List<byte> bytes)
    {
        if (_byteOfId[id] >= 0)
            bytes.Add((byte)_byteOfId[id]);
        else
            bytes.AddRange(Encoding.UTF8.GetBytes(Vocabulary.Pieces[id].Text.Replace(Space, ' ')));
    }

    protected override string Finish(StringBuilder text)
    {
        if (Vocabulary.Prefix != DummyPrefix.None && text.Length > 0 && text[0] == ' ')
            text.Remove(0, 1);
        return text.ToString();
    }

    // Spaces, then everything up to the next space.
    private static int WordLength(ReadOnlySpan<char> text)
    {
        int spaces = text.IndexOfAnyExcept(Space);
        if (spaces < 0)
            return text.Length;
        int end = text[spaces..].IndexOf(Space);
        return end < 0 ? text.Length : spaces + end;
    }

    private int[] EncodeWord(ReadOnlySpan<char> word)
    {
        Span<int> symbols = word.Length <= 256 ? stackalloc int[word.Length] : new int[word.Length];
        int count = 0;
        foreach (Rune rune in word.EnumerateRunes())
            symbols[count++] = _characters.TryGetValue(rune.Value, out int id) ? id : ~rune.Value;
        symbols = symbols[..Table.Apply(symbols[..count])];

        var ids = new List<int>(symbols.Length);
        Span<byte> utf8 = stackalloc byte[4];
        foreach (int symbol in symbols)
        {
            if (symbol >= 0)
            {
                ids.Add(symbol);
                continue;
            }

            int length = new Rune(~symbol).EncodeToUtf8(utf8);
            foreach (byte b in utf8[..length])
                ids.Add(_bytes[b]);
        }

        return [.. ids];
    }
}
