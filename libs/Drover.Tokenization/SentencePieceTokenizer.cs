using System.Globalization;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Text;
using Drover.Formats.SentencePiece;
using Drover.Formats.TokenizerJson;

namespace Drover.Tokenization;

/// <summary>
/// LLaMA-2's family: spaces become U+2581, characters merge, and a character without a piece becomes its UTF-8 bytes.
/// Text is cut wherever no piece goes over, and the parts are looked up in the caller's cache first.
/// Algorithm: SentencePiece's BPE (github.com/google/sentencepiece, bpe_model.cc); ids are equal to its.
/// </summary>
internal sealed class SentencePieceTokenizer : BpeTokenizer
{
    public const char Space = '▁';
    private const int Alone = 0x10000;
    private const int CountAt = 3;
    private const int MostOnStack = 64;
    private readonly int[] _characters = new int[Alone];

    // Of each character alone: its one to three ids and, last, how many they are. Nothing is to be guessed about which it is.
    private readonly Vector128<int>[] _alone = new Vector128<int>[Alone];
    private readonly Dictionary<int, int> _otherCharacters = [];
    private readonly int[] _bytes = new int[256];
    private readonly int[] _byteOfId;
    private readonly SafeCuts _cuts = new();

    public SentencePieceTokenizer(Vocabulary vocabulary)
        : base(vocabulary)
    {
        _byteOfId = new int[vocabulary.Pieces.Count];
        for (int c = 0; c < _characters.Length; c++)
            _characters[c] = ~c;
        for (int id = vocabulary.Pieces.Count - 1; id >= 0; id--)
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
                _cuts.Join(Encoding.UTF8.GetBytes(piece.Text.Replace(Space, ' ')));
                if (Rune.DecodeFromUtf16(piece.Text, out Rune rune, out int used) != System.Buffers.OperationStatus.Done || used != piece.Text.Length)
                    continue;
                if (rune.IsBmp)
                    _characters[rune.Value] = id;
                else
                    _otherCharacters[rune.Value] = id;
            }
        }

        _characters[' '] = _characters[Space];
        FillAlone();
    }

    /// <summary>The byte of "&lt;0xNN&gt;", or null.</summary>
    public static byte? ByteOf(string piece) =>
        piece.Length == 6 && piece.StartsWith("<0x", StringComparison.Ordinal) && piece[5] == '>' && byte.TryParse(piece.AsSpan(3, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out byte value)
            ? value
            : null;

    public override string? TextOf(int id) => _byteOfId[id] >= 0 ? null : Vocabulary.Pieces[id].Text;

    public override int LengthInBytes(int id) => _byteOfId[id] >= 0 ? 1 : Encoding.UTF8.GetByteCount(Vocabulary.Pieces[id].Text);

    public override bool IsOneWord(string text) => true;

    public override int[] EncodePiece(string piece)
    {
        var ids = new TokenBuffer();
        Workspace workspace = Workspaces.Rent();
        EncodeText(Encoding.UTF8.GetBytes(piece), 0, workspace, ids);
        Workspaces.Return(workspace);
        return ids.ToArray();
    }

    protected override void EncodeValid(ReadOnlySpan<byte> utf8, TokenBuffer ids, bool atStart)
    {
        if (utf8.IsEmpty)
            return;
        Workspace workspace = Workspaces.Rent();
        bool startsWithSpace = utf8[0] == ' ' || utf8.StartsWith("▁"u8);
        int done = 0;
        if (Vocabulary.Prefix == DummyPrefix.Always || (Vocabulary.Prefix == DummyPrefix.UnlessSpace && atStart && !startsWithSpace))
        {
            // The prefix goes with the text's first part.
            done = CutAfter(utf8, 0, ' ');
            Span<byte> first = done < MostOnStack ? stackalloc byte[MostOnStack] : new byte[done + 1];
            first[0] = (byte)' ';
            utf8[..done].CopyTo(first[1..]);
            EncodePart(first[..(done + 1)], first.Length, workspace, ids);
        }

        EncodeText(utf8, done, workspace, ids);
        Workspaces.Return(workspace);
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

    private void FillAlone()
    {
        Span<byte> utf8 = stackalloc byte[4];
        for (int c = 0; c < _alone.Length; c++)
        {
            if (_characters[c] >= 0)
                _alone[c] = Vector128.Create(_characters[c], 0, 0, 1);
            else if (Rune.TryCreate(c, out Rune rune) && rune.EncodeToUtf8(utf8) is var count)
                _alone[c] = Vector128.Create(_bytes[utf8[0]], count > 1 ? _bytes[utf8[1]] : 0, count > 2 ? _bytes[utf8[2]] : 0, count);
        }
    }

    private void EncodeText(ReadOnlySpan<byte> utf8, int from, Workspace workspace, TokenBuffer ids)
    {
        if (from == utf8.Length)
            return;
        ref byte text = ref MemoryMarshal.GetReference(utf8);
        int next = Read(ref Unsafe.Add(ref text, from), out int size);
        while (from < utf8.Length)
        {
            int first = next;
            int end = from + size;
            bool alone = first < Alone;
            for (int left = first; end < utf8.Length; left = next, end += size, alone = false)
            {
                next = Read(ref Unsafe.Add(ref text, end), out size);
                if (!_cuts.Joined(left, next))
                    break;
            }

            if (alone)
                EncodeCharacter(first, ids);
            else
                EncodePart(utf8[from..end], utf8.Length - from, workspace, ids);
            from = end;
        }
    }

    /// <summary>The first place from which on text can be encoded alone, given the character before <paramref name="at"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int CutAfter(ReadOnlySpan<byte> utf8, int at, int left)
    {
        ref byte text = ref MemoryMarshal.GetReference(utf8);
        while (at < utf8.Length)
        {
            int right = Read(ref Unsafe.Add(ref text, at), out int size);
            if (!_cuts.Joined(left, right))
                return at;
            left = right;
            at += size;
        }

        return at;
    }

    // A space and the letter that stands for it are one symbol.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Read(ref byte at, out int size)
    {
        int character = Utf8Reader.Read(ref at, out size);
        return character == Space ? ' ' : character;
    }

    /// <summary>A character that no piece joins to its neighbours: most of Chinese text before expansion.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void EncodeCharacter(int character, TokenBuffer ids)
    {
        Vector128<int> known = _alone[character];
        known.StoreUnsafe(ref ids.Reserve(Vector128<int>.Count));
        ids.Advance(known[CountAt]);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void EncodePart(ReadOnlySpan<byte> part, int readable, Workspace workspace, TokenBuffer ids)
    {
        if (part.Length <= SegmentCache.MaxKey)
        {
            ref byte text = ref MemoryMarshal.GetReference(part);
            int found = workspace.Cache.Find(SegmentCache.KeyOf(ref text, part.Length, readable), part.Length, 0, ref ids.Reserve(SegmentCache.MaxIds + 1));
            if (found > 0)
            {
                ids.Advance(found);
                return;
            }
        }

        EncodeUnknownPart(part, workspace, ids);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void EncodeUnknownPart(ReadOnlySpan<byte> part, Workspace workspace, TokenBuffer ids)
    {
        Span<int> symbols = workspace.Symbols(part.Length);
        int count = 0;
        for (int at = 0, size; at < part.Length; at += size)
        {
            int character = Utf8Reader.Read(ref Unsafe.Add(ref MemoryMarshal.GetReference(part), at), out size);
            symbols[count++] = character < 0x10000 ? _characters[character] : _otherCharacters.GetValueOrDefault(character, ~character);
        }

        int before = ids.Count;
        Span<byte> utf8 = stackalloc byte[4];
        foreach (int symbol in symbols[..workspace.Merger.Apply(symbols[..count])])
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

        if (part.Length <= SegmentCache.MaxKey)
            workspace.Cache.Keep(SegmentCache.KeyOf(ref MemoryMarshal.GetReference(part), part.Length, 0), part.Length, 0, ids.Ids[before..]);
    }
}
