using System.Text;
using Drover.Errors;
using Drover.Formats.SentencePiece;
using Drover.Tokenization.Training;

namespace Drover.Tokenization.Expansion;

/// <summary>
/// Appends pieces to a vocabulary so that each can be reached by merges, no old id moves and text without a new piece keeps
/// its ids: new merges come after all old ones, and new scores fall strictly below the old, so that order of ids is order of scores
/// (SentencePiece merges by score, transformers 5 by id).
/// </summary>
public sealed class VocabularyExpander
{
    private const int MaxPieceLength = 128;
    private const int MaxRejected = 100;
    private const int MaxRounds = 8;
    private const float LeastScore = -(1 << 22);
    private readonly Vocabulary _base;
    private readonly BpeTokenizer _baseTokenizer;
    private readonly bool _merged;
    private readonly bool _digitsStandAlone;
    private readonly List<SentencePiece> _pieces;
    private readonly Dictionary<string, int> _ids = new(StringComparer.Ordinal);
    private readonly HashSet<string> _reserved = new(StringComparer.Ordinal);
    private readonly HashSet<string> _intermediate = new(StringComparer.Ordinal);
    private readonly List<string> _asked = [];
    private readonly List<string> _rejected = [];
    private readonly List<Merge> _newMerges = [];
    private MergeTable _table;
    private Merger _merger;
    private int _nextPriority;
    private float _nextScore;
    private int _known;
    private int _filtered;

    private VocabularyExpander(Vocabulary vocabulary)
    {
        _base = vocabulary;
        _baseTokenizer = TokenizerFolder.CreateBpe(vocabulary);
        _pieces = [.. vocabulary.Pieces];
        for (int id = 0; id < _pieces.Count; id++)
        {
            if (_pieces[id].Text.Length == 0)
                throw new DroverException(FailureCode.FailedPrecondition, "VOCABULARY_HAS_HOLES", $"The base tokenizer has no piece for id {id}, so it cannot be expanded: the files could not be written.");
            if (_pieces[id].Kind == SentencePieceKind.Normal)
                _ids.TryAdd(_pieces[id].Text, id);
            else
                _reserved.Add(_pieces[id].Text);
        }

        _digitsStandAlone = !_pieces.Any(p => p.Kind == SentencePieceKind.Normal && HasTwoDigits(p.Text));
        _merged = vocabulary.MergesAreThoseOfPieces();
        _table = new MergeTable(vocabulary.Merges);
        _merger = new Merger(_table);
        _nextPriority = vocabulary.Merges.Count == 0 ? 0 : vocabulary.Merges.Max(m => m.Priority) + 1;
        // LLaMA-2 gives runs of spaces -1e9, below which 32 bits cannot count; no new piece holds such a run, so they may stay behind.
        _nextScore = MathF.Floor(_pieces.Where(p => p.Kind == SentencePieceKind.Normal && p.Score > LeastScore).Select(p => p.Score).DefaultIfEmpty(0).Min()) - 1;
    }

    /// <summary>Expands a vocabulary by pieces, in their order. A piece may start with a space (or U+2581).</summary>
    /// <param name="vocabulary">The base.</param>
    /// <param name="pieces">Pieces.</param>
    /// <param name="cancellation">Stops expanding.</param>
    /// <param name="scripts">Pieces whose letters are of other scripts, and pieces without letters, are left out; null or empty for none.</param>
    public static ExpandedVocabulary Expand(Vocabulary vocabulary, IEnumerable<string> pieces, CancellationToken cancellation, IReadOnlySet<Script>? scripts = null)
    {
        var expander = new VocabularyExpander(vocabulary);
        foreach (string piece in pieces)
        {
            cancellation.ThrowIfCancellationRequested();
            if (scripts is { Count: > 0 } && !Scripts.AllOf(piece, scripts))
                expander._filtered++;
            else
                expander.Ask(piece);
        }

        expander.Settle(cancellation);
        return expander.Result();
    }

    private void Ask(string given)
    {
        string space = _base.Family == TokenizerFamily.SentencePieceBpe ? "▁" : " ";
        string text = given.StartsWith(' ') || given.StartsWith('▁') ? space + given[1..] : given;
        if (Refusal(text, space[0]) is { } reason)
        {
            if (_rejected.Count < MaxRejected)
                _rejected.Add($"'{given}': {reason}");
            return;
        }

        string piece = _base.Family == TokenizerFamily.SentencePieceBpe ? text : ByteLevelAlphabet.Write(Encoding.UTF8.GetBytes(text));
        if (_intermediate.Remove(piece))
        {
            _asked.Add(piece);
        }
        else if (_ids.ContainsKey(piece))
        {
            _known++;
        }
        else
        {
            _asked.Add(piece);
            MakeReachable(piece);
            _intermediate.Remove(piece);
        }
    }

    private string? Refusal(string text, char space)
    {
        if (text.Trim(space).Length == 0)
            return "it is empty or only a space";
        if (_reserved.Contains(text))
            return "it is the name of a special token or a byte piece";
        if (text.Length > MaxPieceLength)
            return $"it is longer than {MaxPieceLength} characters";
        int at = 0;
        foreach (Rune rune in text.EnumerateRunes())
        {
            if (at++ > 0 && (Rune.IsWhiteSpace(rune) || rune.Value == '▁'))
                return "it has a space inside or at its end; a piece is within one word";
            if (Rune.IsControl(rune) || rune.Value == 0xFFFD)
                return "it has a control character or is not valid Unicode";
        }

        if (_digitsStandAlone && HasTwoDigits(text))
            return "it joins digits, which the base writes one by one";
        if (!_baseTokenizer.IsOneWord(text))
            return "the tokenizer's pattern cuts it into several words, so it could never be found";
        return null;
    }

    private static bool HasTwoDigits(string text)
    {
        for (int i = 1; i < text.Length; i++)
        {
            if (char.IsDigit(text[i]) && char.IsDigit(text[i - 1]))
                return true;
        }

        return false;
    }

    /// <summary>Adds pieces until the merges end at the whole piece: the first two symbols of what is left become the next one.</summary>
    private void MakeReachable(string piece)
    {
        foreach (Rune rune in piece.EnumerateRunes())
        {
            if (!_ids.ContainsKey(rune.ToString()))
                Append(rune.ToString());
        }

        for (int[] symbols = Reduce(piece); symbols.Length > 1; symbols = Reduce(piece))
        {
            string joined = TextOf(symbols[0]) + TextOf(symbols[1]);
            if (_ids.TryGetValue(joined, out int known))
                AddMerge(symbols[0], symbols[1], known);
            else
                Append(joined);
        }
    }

    private void Append(string text)
    {
        int id = _pieces.Count;
        _pieces.Add(new SentencePiece(text, _nextScore--, SentencePieceKind.Normal));
        _ids.Add(text, id);
        _intermediate.Add(text);
        for (int cut = 1; cut < text.Length; cut++)
        {
            if (_ids.TryGetValue(text[..cut], out int left) && _ids.TryGetValue(text[cut..], out int right))
                AddMerge(left, right, id);
        }
    }

    private void AddMerge(int left, int right, int merged)
    {
        var merge = new Merge(left, right, merged, _nextPriority++);
        _table.Add(merge);
        _newMerges.Add(merge);
    }

    /// <summary>
    /// A new piece can also be a part of an old one, and in SentencePiece that is a merge of the old one's score. With those merges in,
    /// pieces are looked at again.
    /// </summary>
    private void Settle(CancellationToken cancellation)
    {
        for (int round = 0; _merged && round < MaxRounds; round++)
        {
            cancellation.ThrowIfCancellationRequested();
            IReadOnlyList<Merge> merges = Vocabulary.MergesOf(_pieces);
            _table = new MergeTable(merges);
            _merger = new Merger(_table);
            _nextPriority = merges[^1].Priority + 1;
            string[] lost = [.. _asked.Where(p => Reduce(p).Length > 1)];
            if (lost.Length == 0)
                return;
            foreach (string piece in lost)
                MakeReachable(piece);
        }

        foreach (string piece in _asked.Where(p => Reduce(p).Length > 1))
            _rejected.Add($"'{piece}': it has an id and cannot be reached by merges");
    }

    private ExpandedVocabulary Result()
    {
        IReadOnlyList<Merge> merges = _merged ? Vocabulary.MergesOf(_pieces) : [.. _base.Merges, .. _newMerges];
        Vocabulary vocabulary = _base with { Pieces = _pieces, Merges = merges, Source = _base.Source?.WithPieces(_pieces) };
        int[][] subPieces = [.. _pieces.Skip(_base.Pieces.Count).Select(p => _baseTokenizer.EncodePiece(p.Text))];
        return new ExpandedVocabulary(vocabulary, subPieces, _asked.Count, _pieces.Count - _base.Pieces.Count - _asked.Count, _known, _rejected, _filtered);
    }

    private int[] Reduce(string piece)
    {
        int[] symbols = [.. piece.EnumerateRunes().Select(r => _ids.TryGetValue(r.ToString(), out int id) ? id : ~r.Value)];
        return symbols[.._merger.Apply(symbols)];
    }

    private string TextOf(int symbol) => symbol >= 0 ? _pieces[symbol].Text : new Rune(~symbol).ToString();
}

/// <summary>An expanded vocabulary and what it took.</summary>
/// <param name="Vocabulary">The old ids, then the new.</param>
/// <param name="SubPieces">For each new id in order: the ids that the base tokenizer gives its text, without the dummy prefix.</param>
/// <param name="Added">Pieces that were asked for and are new.</param>
/// <param name="Intermediate">Pieces added so that others can be reached.</param>
/// <param name="Known">Pieces asked for that were there already, or listed twice.</param>
/// <param name="Rejected">Pieces refused, with the reason; at most about 100.</param>
/// <param name="Filtered">Pieces left out for their script.</param>
public sealed record ExpandedVocabulary(Vocabulary Vocabulary, IReadOnlyList<int[]> SubPieces, int Added, int Intermediate, int Known, IReadOnlyList<string> Rejected, int Filtered)
{
    /// <summary>What lies between a base and a tokenizer that was expanded before, by Drover or by others.</summary>
    /// <exception cref="DroverException">FailedPrecondition when the second does not begin with the ids of the first.</exception>
    public static ExpandedVocabulary Between(Vocabulary old, Vocabulary expanded, string oldName, string expandedName)
    {
        for (int id = 0; id < old.Pieces.Count; id++)
        {
            if (id >= expanded.Pieces.Count || expanded.Pieces[id].Text != old.Pieces[id].Text)
                throw new DroverException(FailureCode.FailedPrecondition, "NOT_AN_EXPANSION", $"The tokenizer '{expandedName}' does not begin with the ids of '{oldName}': id {id} is '{(id < expanded.Pieces.Count ? expanded.Pieces[id].Text : "")}' and not '{old.Pieces[id].Text}'.");
        }

        BpeTokenizer tokenizer = TokenizerFolder.CreateBpe(old);
        int[][] subPieces = [.. expanded.Pieces.Skip(old.Pieces.Count).Select(p => tokenizer.EncodePiece(p.Text))];
        return new ExpandedVocabulary(expanded, subPieces, subPieces.Length, 0, 0, [], 0);
    }
}
