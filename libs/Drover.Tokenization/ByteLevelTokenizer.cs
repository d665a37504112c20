using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Text;
using Drover.Formats.SentencePiece;
using Drover.Formats.TokenizerJson;

namespace Drover.Tokenization;

/// <summary>
/// LLaMA-3's family: text is cut into words by a pattern, and the UTF-8 bytes of each word merge. Words are looked up in the
/// caller's cache first; long words without spaces (Chinese) are cut further where no piece goes over.
/// </summary>
internal sealed class ByteLevelTokenizer : BpeTokenizer
{
    private const int IdBits = 21;
    private const int WholeWord = 0;
    private const int PartOfWord = 1;

    // Words of three bytes a character seldom come again as a whole.
    private const int MaxCachedWideWord = 9;
    private readonly int[] _bytes = new int[256];
    private readonly byte[]?[] _bytesOfId;

    // With ignore_merges a word that is a piece is taken whole. Only pieces that merges do not reach need be known for that: 588 in LLaMA-3.
    private readonly Dictionary<string, int> _wholeWords = new(StringComparer.Ordinal);
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> _idsByLetters;
    private readonly bool[] _mayBeWhole = new bool[1 << 16];
    private readonly ulong[] _characters = new ulong[0x10000];
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
            byte[]? bytes = _bytesOfId[id] = ByteLevelAlphabet.Read(piece.Text);
            if (bytes is [byte single])
                _bytes[single] = id;
            _cuts.Join(bytes);
        }

        _idsByLetters = _wholeWords.GetAlternateLookup<ReadOnlySpan<char>>();
        if (vocabulary.IgnoreMerges)
            FindWholeWords();
    }

    public override int[] EncodePiece(string piece)
    {
        var ids = new TokenBuffer();
        Workspace workspace = Workspaces.Rent();
        byte[] word = ByteLevelAlphabet.Read(piece) ?? Encoding.UTF8.GetBytes(piece);
        // A piece may begin or end within a character, so it is not looked at for cuts.
        if (TryFindWhole(word, out int whole))
            ids.Add(whole);
        else
            EncodePart(word, word.Length, workspace, ids);
        Workspaces.Return(workspace);
        return ids.ToArray();
    }

    public override string? TextOf(int id) => _bytesOfId[id] is { } bytes && System.Text.Unicode.Utf8.IsValid(bytes) ? Encoding.UTF8.GetString(bytes) : null;

    public override int LengthInBytes(int id) => _bytesOfId[id]?.Length ?? 0;

    public override bool IsOneWord(string text)
    {
        byte[] utf8 = Encoding.UTF8.GetBytes(text);
        return utf8.Length > 0 && Vocabulary.Words switch
        {
            WordPattern.Gpt2 => new Gpt2Cutter().Next(ref utf8[0], utf8.Length),
            WordPattern.Qwen => new Llama3Cutter(1).Next(ref utf8[0], utf8.Length),
            _ => new Llama3Cutter(3).Next(ref utf8[0], utf8.Length),
        } == utf8.Length;
    }

    protected override void AppendBytes(int id, List<byte> bytes) => bytes.AddRange(_bytesOfId[id] ?? []);

    protected override void EncodeValid(ReadOnlySpan<byte> utf8, TokenBuffer ids, bool atStart)
    {
        Workspace workspace = Workspaces.Rent();
        if (Vocabulary.NormalizesToC && !Ascii.IsValid(utf8))
            utf8 = Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(utf8).Normalize(NormalizationForm.FormC));
        if (Vocabulary.Words == WordPattern.Gpt2)
            EncodeWords(utf8, new Gpt2Cutter(), workspace, ids);
        else
            EncodeWords(utf8, new Llama3Cutter(Vocabulary.Words == WordPattern.Qwen ? 1 : 3), workspace, ids);
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
                EncodeUnknownWord(MemoryMarshal.CreateReadOnlySpan(ref text, length), left, workspace, ids);
            at += length;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool IsCached(byte first, int length) => length <= (first < 0xE0 ? SegmentCache.MaxKey : MaxCachedWideWord);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void EncodeUnknownWord(ReadOnlySpan<byte> word, int readable, Workspace workspace, TokenBuffer ids)
    {
        int before = ids.Count;
        EncodeWord(word, readable, workspace, ids);
        if (IsCached(word[0], word.Length))
            workspace.Cache.Keep(SegmentCache.KeyOf(ref MemoryMarshal.GetReference(word), word.Length, 0), word.Length, WholeWord, ids.Ids[before..]);
    }

    private void EncodeWord(ReadOnlySpan<byte> word, int readable, Workspace workspace, TokenBuffer ids)
    {
        if (TryFindWhole(word, out int whole))
        {
            ids.Add(whole);
            return;
        }

        ref byte text = ref MemoryMarshal.GetReference(word);
        int first = Utf8Reader.Read(ref text, out int size);
        for (int from = 0; from < word.Length;)
        {
            int at = from + size;
            bool alone = true;
            int right = first;
            for (int left = first; at < word.Length; left = right, at += size, alone = false)
            {
                right = Utf8Reader.Read(ref Unsafe.Add(ref text, at), out size);
                if (!_cuts.Joined(left, right, Unsafe.Add(ref text, at - 1), Unsafe.Add(ref text, at)))
                    break;
            }

            if (alone && first is >= 0x80 and < 0x10000)
                EncodeCharacter(first, word[from..at], workspace, ids);
            else
                EncodePart(word[from..at], readable - from, workspace, ids);
            first = right;
            from = at;
        }
    }

    /// <summary>A character that no piece joins to its neighbours: its one to three ids are in a table that fills itself.</summary>
    private void EncodeCharacter(int character, ReadOnlySpan<byte> utf8, Workspace workspace, TokenBuffer ids)
    {
        ulong known = _characters[character];
        if (known == 0)
        {
            int before = ids.Count;
            EncodePart(utf8, utf8.Length, workspace, ids);
            foreach (int id in ids.Ids[before..])
                known = (known << IdBits) | (uint)(id + 1);
            // All threads find the same, and a write of 64 bits is whole.
            Volatile.Write(ref _characters[character], known);
            return;
        }

        ref int to = ref ids.Reserve(3);
        int count = 0;
        for (int shift = 2 * IdBits; shift >= 0; shift -= IdBits)
        {
            int id = (int)(known >> shift) & ((1 << IdBits) - 1);
            Unsafe.Add(ref to, count) = id - 1;
            count += id > 0 ? 1 : 0;
        }

        ids.Advance(count);
    }

    private void EncodePart(ReadOnlySpan<byte> part, int readable, Workspace workspace, TokenBuffer ids)
    {
        Vector256<byte> key = default;
        if (part.Length <= SegmentCache.MaxKey)
        {
            key = SegmentCache.KeyOf(ref MemoryMarshal.GetReference(part), part.Length, readable);
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

    private void FindWholeWords()
    {
        var merger = new Merger(Table);
        for (int id = 0; id < _bytesOfId.Length; id++)
        {
            if (_bytesOfId[id] is not { Length: > 1 } bytes)
                continue;
            int[] symbols = Array.ConvertAll(bytes, b => _bytes[b]);
            if (merger.Apply(symbols) == 1 && symbols[0] == id)
                continue;
            _wholeWords.TryAdd(Vocabulary.Pieces[id].Text, id);
            _mayBeWhole[Sketch(bytes)] = true;
        }
    }

    private static int Sketch(ReadOnlySpan<byte> word) => ((word.Length << 11) ^ (word[0] << 8) ^ (word[word.Length >> 1] << 4) ^ word[^1]) & 0xFFFF;

    private bool TryFindWhole(ReadOnlySpan<byte> word, out int id)
    {
        id = -1;
        if (!_mayBeWhole[Sketch(word)])
            return false;
        Span<char> letters = word.Length <= 256 ? stackalloc char[word.Length] : new char[word.Length];
        for (int i = 0; i < word.Length; i++)
            letters[i] = ByteLevelAlphabet.LetterOf(word[i]);
        return _idsByLetters.TryGetValue(letters, out id);
    }
}
