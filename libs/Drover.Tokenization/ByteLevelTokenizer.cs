using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Text;
using Drover.Formats.SentencePiece;

namespace Drover.Tokenization;

/// <summary>
/// LLaMA-3's family: text is cut into words by a pattern, and the UTF-8 bytes of each word merge. Words are looked up in the
/// caller's cache first; long words without spaces (Chinese) are cut further where no piece goes over.
/// </summary>
internal sealed class ByteLevelTokenizer : BpeTokenizer
{
    private const int WholeWord = 0;
    private const int PartOfWord = 1;

    // Words of three bytes a character seldom come again as a whole.
    private const int MaxCachedWideWord = 9;
    private readonly int[] _bytes = new int[256];
    private readonly byte[]?[] _bytesOfId;
    private readonly Dictionary<string, int> _ids = new(StringComparer.Ordinal);
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> _idsByLetters;
    private readonly int _longestPiece;
    private readonly SafeCuts _cuts = new();

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
            byte[]? bytes = _bytesOfId[id] = ByteLevelAlphabet.Read(piece.Text);
            if (bytes is [byte single])
                _bytes[single] = id;
            _cuts.Join(bytes);
            _longestPiece = Math.Max(_longestPiece, bytes?.Length ?? 0);
        }

        _idsByLetters = _ids.GetAlternateLookup<ReadOnlySpan<char>>();
    }

    public override int[] EncodePiece(string piece)
    {
        var ids = new TokenBuffer();
        Workspace workspace = Workspaces.Rent();
        byte[] word = ByteLevelAlphabet.Read(piece) ?? Encoding.UTF8.GetBytes(piece);
        // A piece may begin or end within a character, so it is not looked at for cuts.
        if (Vocabulary.IgnoreMerges && TryFindWhole(word, out int whole))
            ids.Add(whole);
        else
            EncodePart(word, workspace, ids);
        Workspaces.Return(workspace);
        return ids.ToArray();
    }

    public override bool IsOneWord(string text)
    {
        byte[] utf8 = Encoding.UTF8.GetBytes(text);
        return utf8.Length > 0 && new Llama3Cutter(3).Next(ref utf8[0], utf8.Length) == utf8.Length;
    }

    protected override void AppendBytes(int id, List<byte> bytes) => bytes.AddRange(_bytesOfId[id] ?? []);

    protected override void EncodeValid(ReadOnlySpan<byte> utf8, TokenBuffer ids)
    {
        Workspace workspace = Workspaces.Rent();
        EncodeWords(utf8, new Llama3Cutter(3), workspace, ids);
        Workspaces.Return(workspace);
    }

    private void EncodeWords<TCutter>(ReadOnlySpan<byte> utf8, TCutter cutter, Workspace workspace, TokenBuffer ids)
        where TCutter : struct, IWordCutter
    {
        SegmentCache cache = workspace.Cache;
        for (int at = 0; at < utf8.Length;)
        {
            ref byte text = ref Unsafe.Add(ref MemoryMarshal.GetReference(utf8), at);
            int left = utf8.Length - at;
            int length = cutter.Next(ref text, left);
            int found = 0;
            if (IsCached(text, length))
                found = cache.Find(SegmentCache.KeyOf(ref text, length, left), length, WholeWord, ref ids.Reserve(SegmentCache.MaxIds + 1));
            if (found > 0)
                ids.Advance(found);
            else
                EncodeUnknownWord(MemoryMarshal.CreateReadOnlySpan(ref text, length), workspace, ids);
            at += length;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool IsCached(byte first, int length) => length <= (first < 0xE0 ? SegmentCache.MaxKey : MaxCachedWideWord);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void EncodeUnknownWord(ReadOnlySpan<byte> word, Workspace workspace, TokenBuffer ids)
    {
        int before = ids.Count;
        EncodeWord(word, workspace, ids);
        if (IsCached(word[0], word.Length))
            workspace.Cache.Keep(SegmentCache.KeyOf(ref MemoryMarshal.GetReference(word), word.Length, 0), word.Length, WholeWord, ids.Ids[before..]);
    }

    private void EncodeWord(ReadOnlySpan<byte> word, Workspace workspace, TokenBuffer ids)
    {
        if (Vocabulary.IgnoreMerges && TryFindWhole(word, out int whole))
        {
            ids.Add(whole);
            return;
        }

        for (int from = 0; from < word.Length;)
        {
            int end = CutAfter(word, from);
            EncodePart(word[from..end], workspace, ids);
            from = end;
        }
    }

    private int CutAfter(ReadOnlySpan<byte> word, int from)
    {
        ref byte text = ref MemoryMarshal.GetReference(word);
        int left = Utf8Reader.Read(ref Unsafe.Add(ref text, from), out int size);
        for (int at = from + size; ; at += size)
        {
            if (at >= word.Length)
                return word.Length;
            int right = Utf8Reader.Read(ref Unsafe.Add(ref text, at), out size);
            if (!_cuts.Joined(left, right, word[at - 1], word[at]))
                return at;
            left = right;
        }
    }

    private void EncodePart(ReadOnlySpan<byte> part, Workspace workspace, TokenBuffer ids)
    {
        Vector256<byte> key = default;
        if (part.Length <= SegmentCache.MaxKey)
        {
            key = SegmentCache.KeyOf(ref MemoryMarshal.GetReference(part), part.Length, 0);
            if (workspace.Cache.Find(key, part.Length, PartOfWord, ref ids.Reserve(SegmentCache.MaxIds + 1)) is var found and > 0)
            {
                ids.Advance(found);
                return;
            }
        }

        Span<int> symbols = workspace.Symbols(part.Length);
        for (int i = 0; i < part.Length; i++)
            symbols[i] = _bytes[part[i]];
        symbols = symbols[..workspace.Merger.Apply(symbols)];
        ids.Add(symbols);
        if (part.Length <= SegmentCache.MaxKey)
            workspace.Cache.Keep(key, part.Length, PartOfWord, symbols);
    }

    private bool TryFindWhole(ReadOnlySpan<byte> word, out int id)
    {
        id = -1;
        if (word.Length > _longestPiece)
            return false;
        Span<char> letters = word.Length <= 256 ? stackalloc char[word.Length] : new char[word.Length];
        for (int i = 0; i < word.Length; i++)
            letters[i] = ByteLevelAlphabet.LetterOf(word[i]);
        return _idsByLetters.TryGetValue(letters, out id);
    }
}
