using System.Buffers;
using System.Text;
using Drover.Errors;
using Drover.Formats.SentencePiece;

namespace Drover.Tokenization;

/// <summary>What both families share: ids, pieces, and the way from ids back to text.</summary>
internal abstract class BpeTokenizer : ITextTokenizer
{
    private readonly Lazy<string> _hash;
    private readonly Lazy<SpecialTokenFinder> _specials;

    protected BpeTokenizer(Vocabulary vocabulary)
    {
        Vocabulary = vocabulary;
        Table = new MergeTable(vocabulary.Merges);
        Workspaces = new WorkspacePool(Table);
        _specials = new Lazy<SpecialTokenFinder>(() => new SpecialTokenFinder(vocabulary));
        _hash = new Lazy<string>(vocabulary.ContentHash);
    }

    public Vocabulary Vocabulary { get; }

    public TokenizerFamily Family => Vocabulary.Family;

    public int VocabularySize => Vocabulary.Pieces.Count;

    public int BosId => Vocabulary.BosId;

    public int EosId => Vocabulary.EosId;

    public int PadId => Vocabulary.PadId;

    public int UnkId => Vocabulary.UnkId;

    public string ContentHash => _hash.Value;

    protected MergeTable Table { get; }

    protected WorkspacePool Workspaces { get; }

    public int[] Encode(string text)
    {
        var ids = new TokenBuffer();
        byte[] utf8 = ArrayPool<byte>.Shared.Rent(Encoding.UTF8.GetMaxByteCount(text.Length));
        EncodeValid(utf8.AsSpan(0, Encoding.UTF8.GetBytes(text, utf8)), ids, atStart: true);
        ArrayPool<byte>.Shared.Return(utf8);
        return ids.ToArray();
    }

    public int[] EncodeWithSpecialTokens(string text)
    {
        var ids = new TokenBuffer();
        ReadOnlySpan<byte> rest = Encoding.UTF8.GetBytes(text);
        for (bool atStart = true; !rest.IsEmpty; atStart = false)
        {
            (int at, int length, int id) = _specials.Value.Find(rest);
            EncodeValid(rest[..at], ids, atStart);
            if (length > 0)
                ids.Add(id);
            rest = rest[(at + length)..];
        }

        return ids.ToArray();
    }

    public void Encode(ReadOnlySpan<byte> utf8, TokenBuffer ids)
    {
        if (Utf8Validity.IsValid(utf8))
            EncodeValid(utf8, ids, atStart: true);
        else
            ids.Add(Encode(Encoding.UTF8.GetString(utf8)));
    }

    /// <summary>Ids of a piece's text, as it is written in the vocabulary: no dummy prefix, no cutting into words.</summary>
    public abstract int[] EncodePiece(string piece);

    /// <summary>A piece's own text with spaces as the vocabulary writes them in words (U+2581 or a space); null for bytes that are no text.</summary>
    public abstract string? TextOf(int id);

    /// <summary>How many bytes of a text (of a word with U+2581 for a space, in SentencePiece's family) a piece stands for.</summary>
    public abstract int LengthInBytes(int id);

    /// <summary>Whether a text is never cut before merging.</summary>
    public abstract bool IsOneWord(string text);

    /// <summary>Appends the ids of valid UTF-8: a text, or what goes on after a special token.</summary>
    protected abstract void EncodeValid(ReadOnlySpan<byte> utf8, TokenBuffer ids, bool atStart);

    public string PieceOf(int id)
    {
        Check(id);
        return Vocabulary.Pieces[id].Text;
    }

    public bool IsSpecial(int id)
    {
        Check(id);
        return Vocabulary.Pieces[id].Kind is SentencePieceKind.Control or SentencePieceKind.Unknown or SentencePieceKind.UserDefined;
    }

    public string Decode(IReadOnlyList<int> ids, bool skipSpecialTokens)
    {
        var text = new StringBuilder();
        var bytes = new List<byte>();
        foreach (int id in ids)
        {
            if (IsSpecial(id))
            {
                Flush(text, bytes);
                if (!skipSpecialTokens)
                    text.Append(PieceOf(id));
            }
            else
            {
                AppendBytes(id, bytes);
            }
        }

        Flush(text, bytes);
        return Finish(text);
    }

    /// <summary>Appends the bytes of a piece that is no special token.</summary>
    protected abstract void AppendBytes(int id, List<byte> bytes);

    protected virtual string Finish(StringBuilder text) => text.ToString();

    private void Check(int id)
    {
        if ((uint)id >= (uint)VocabularySize)
            throw new DroverException(FailureCode.InvalidArgument, "ID_OUT_OF_RANGE", $"Id {id} is not in this vocabulary of {VocabularySize} ids.");
    }

    // As SentencePiece does: every byte that starts no character becomes one U+FFFD.
    private static void Flush(StringBuilder text, List<byte> bytes)
    {
        ReadOnlySpan<byte> rest = System.Runtime.InteropServices.CollectionsMarshal.AsSpan(bytes);
        while (!rest.IsEmpty)
        {
            bool good = Rune.DecodeFromUtf8(rest, out Rune rune, out int used) == OperationStatus.Done;
            text.Append(good ? rune.ToString() : "\uFFFD");
            rest = rest[(good ? used : 1)..];
        }

        bytes.Clear();
    }
}
