using System.Security.Cryptography;
using System.Text;
using Drover.Formats.SentencePiece;
using Drover.Formats.TokenizerJson;

namespace Drover.Tokenization;

/// <summary>A vocabulary as both files describe it: pieces by id, merges, and the special ids.</summary>
public sealed record Vocabulary
{
    /// <summary>How text is cut.</summary>
    public required TokenizerFamily Family { get; init; }

    /// <summary>Pieces by id. Byte-level pieces are written in the ByteLevel alphabet.</summary>
    public required IReadOnlyList<SentencePiece> Pieces { get; init; }

    /// <summary>Merges, best first; those of equal priority in the order in which a file of ranked merges must list them.</summary>
    public required IReadOnlyList<Merge> Merges { get; init; }

    /// <summary>Whether a word that is a piece is taken without merging (byte-level).</summary>
    public bool IgnoreMerges { get; init; }

    /// <summary>How text is cut into words (byte-level).</summary>
    public WordPattern Words { get; init; }

    /// <summary>Whether text is brought into Unicode's normal form C first (byte-level).</summary>
    public bool NormalizesToC { get; init; }

    /// <summary>When a space is put before a text.</summary>
    public DummyPrefix Prefix { get; init; }

    /// <summary>Beginning of a document, -1 for none.</summary>
    public int BosId { get; init; } = -1;

    /// <summary>End of a document, -1 for none.</summary>
    public int EosId { get; init; } = -1;

    /// <summary>Padding, -1 for none.</summary>
    public int PadId { get; init; } = -1;

    /// <summary>Unknown, -1 for none.</summary>
    public int UnkId { get; init; } = -1;

    /// <summary>The file it came from, when that was a SentencePiece model: its other settings are written back.</summary>
    public SentencePieceModel? Source { get; init; }

    /// <summary>
    /// SHA-256 over family, prefix rule, (id, piece, kind) of every piece and the pieces that merges make, in the order in which they are made:
    /// the same for tokenizer.model and tokenizer.json of one tokenizer, since scores and explicit merges are two ways to say that order.
    /// </summary>
    public string ContentHash()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        void Append(string line) => hash.AppendData(Encoding.UTF8.GetBytes(line));
        Append($"drover-vocabulary-1 {(int)Family} {(int)Prefix} {(IgnoreMerges ? 1 : 0)}\n");
        if (Words != WordPattern.Llama3 || NormalizesToC)
            Append($"words {(int)Words} {NormalizesToC}\n");
        for (int id = 0; id < Pieces.Count; id++)
            Append($"{id}\t{Pieces[id].Text.Length}\t{Pieces[id].Text}\t{(int)Pieces[id].Kind}\n");
        var made = new HashSet<int>();
        foreach (Merge merge in Merges)
        {
            if (made.Add(merge.Merged))
                Append($"{merge.Merged}\n");
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>
    /// The merges that a list of scored pieces implies, as SentencePiece applies them: every cut of a piece into two pieces (or characters) merges,
    /// at the priority of the piece's score. SentencePiece takes the leftmost of equal scores (LLaMA-2's runs of spaces have one score), a list of
    /// ranked merges cannot; among equals the longest left part stands first, so that a run grows from the left there too.
    /// </summary>
    public static IReadOnlyList<Merge> MergesOf(IReadOnlyList<SentencePiece> pieces)
    {
        var ids = new Dictionary<string, int>(pieces.Count, StringComparer.Ordinal);
        for (int id = 0; id < pieces.Count; id++)
        {
            if (pieces[id].Kind is SentencePieceKind.Normal or SentencePieceKind.Unused)
                ids.TryAdd(pieces[id].Text, id);
        }

        Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> lookup = ids.GetAlternateLookup<ReadOnlySpan<char>>();
        var merges = new List<Merge>(pieces.Count * 2);
        int priority = -1;
        float last = float.NaN;
        foreach (int id in ids.Values.OrderByDescending(i => pieces[i].Score).ThenBy(i => i))
        {
            if (pieces[id].Score != last)
            {
                last = pieces[id].Score;
                priority++;
            }

            ReadOnlySpan<char> text = pieces[id].Text;
            for (int cut = 1; cut < text.Length; cut++)
            {
                if (!char.IsLowSurrogate(text[cut]) && Symbol(lookup, text[..cut]) is { } left && Symbol(lookup, text[cut..]) is { } right)
                    merges.Add(new Merge(left, right, id, priority));
            }
        }

        return [.. merges.OrderBy(m => m.Priority).ThenBy(m => pieces[m.Merged].Text.Length - LeftLength(m)).ThenByDescending(LeftLength)];

        int LeftLength(Merge merge) => merge.Left >= 0 ? pieces[merge.Left].Text.Length : new Rune(~merge.Left).Utf16SequenceLength;
    }

    /// <summary>Whether the merges are those that the pieces and their scores imply, so that a SentencePiece model says all there is to say.</summary>
    internal bool MergesAreThoseOfPieces()
    {
        if (Family != TokenizerFamily.SentencePieceBpe || Source is not null)
            return Source is not null;
        IReadOnlyList<Merge> implied = MergesOf(Pieces);
        int groups = Merges.Where((m, i) => i == 0 || Merges[i - 1].Merged != m.Merged).Count();
        return implied.Count == Merges.Count
            && groups == Merges.Select(m => m.Merged).Distinct().Count()
            && implied.Select(m => (m.Left, m.Right)).ToHashSet().SetEquals(Merges.Select(m => (m.Left, m.Right)));
    }

    private static int? Symbol(Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> ids, ReadOnlySpan<char> text)
    {
        if (ids.TryGetValue(text, out int id))
            return id;
        return Rune.DecodeFromUtf16(text, out Rune rune, out int used) == System.Buffers.OperationStatus.Done && used == text.Length ? ~rune.Value : null;
    }
}
