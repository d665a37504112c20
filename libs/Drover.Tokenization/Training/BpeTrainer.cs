using System.Text;
using Drover.Errors;
using Drover.Formats.SentencePiece;
using Drover.Formats.TokenizerJson;

namespace Drover.Tokenization.Training;

/// <summary>
/// Learns a SentencePiece-style BPE: 3 control and 256 byte pieces, then merges in the order learnt, then characters by frequency.
/// Algorithm: Sennrich et al. 2016 (arxiv.org/abs/1508.07909), with pair counts kept up to date instead of counted again.
/// The same words give the same vocabulary, whatever order they come in.
/// </summary>
public sealed class BpeTrainer
{
    /// <summary>Control and byte pieces.</summary>
    public const int ReservedPieces = 259;

    private const int MaxPieceCharacters = 16;
    private readonly List<string> _texts = [];
    private readonly Dictionary<string, int> _idOfText = new(StringComparer.Ordinal);
    private readonly List<(int[] Symbols, long Count)> _words = [];
    private readonly Dictionary<long, Pair> _pairs = [];
    private readonly PriorityQueue<Pair, MergeRank> _queue = new();
    private readonly HashSet<long> _changed = [];

    private BpeTrainer()
    {
    }

    /// <summary>Learns a vocabulary.</summary>
    /// <param name="words">What to learn from.</param>
    /// <param name="vocabularySize">Ids, the 259 reserved ones included.</param>
    /// <param name="characterCoverage">Share of characters that get a piece of their own, over 0 to 1.</param>
    /// <param name="progress">Told how many merges are learnt, of how many.</param>
    /// <param name="cancellation">Stops learning.</param>
    /// <exception cref="DroverException">InvalidArgument when the size is too small for the characters; FailedPrecondition when the words do not give as many pieces.</exception>
    public static Vocabulary Train(TrainingWords words, int vocabularySize, double characterCoverage, Action<int, int>? progress, CancellationToken cancellation)
    {
        Rune[] characters = CoveredCharacters(words.Counts, characterCoverage);
        int merges = vocabularySize - ReservedPieces - characters.Length;
        if (merges < 0)
            throw new DroverException(FailureCode.InvalidArgument, "VOCABULARY_TOO_SMALL", $"vocabulary_size is {vocabularySize}; {ReservedPieces} reserved pieces and {characters.Length} characters need at least {ReservedPieces + characters.Length}. Raise it, or lower character_coverage.");
        var trainer = new BpeTrainer();
        List<string> learnt = trainer.Learn(words.Counts, characters, merges, progress, cancellation);
        if (learnt.Count < merges)
            throw new DroverException(FailureCode.FailedPrecondition, "TOO_LITTLE_TEXT", $"vocabulary_size is {vocabularySize}, and the text gives only {ReservedPieces + characters.Length + learnt.Count} pieces. Lower it, or give more text.");
        return Assemble(learnt, characters);
    }

    private static Vocabulary Assemble(List<string> learnt, Rune[] characters)
    {
        List<SentencePiece> pieces = [new("<unk>", 0, SentencePieceKind.Unknown), new("<s>", 0, SentencePieceKind.Control), new("</s>", 0, SentencePieceKind.Control)];
        for (int b = 0; b < 256; b++)
            pieces.Add(new SentencePiece($"<0x{b:X2}>", 0, SentencePieceKind.Byte));
        foreach (string text in learnt.Concat(characters.Select(c => c.ToString())))
            pieces.Add(new SentencePiece(text, ReservedPieces - pieces.Count, SentencePieceKind.Normal));
        return new Vocabulary
        {
            Family = TokenizerFamily.SentencePieceBpe,
            Pieces = pieces,
            Merges = Vocabulary.MergesOf(pieces),
            Prefix = DummyPrefix.Always,
            UnkId = 0,
            BosId = 1,
            EosId = 2,
            Source = SentencePieceModel.Create(pieces),
        };
    }

    /// <summary>Characters from the most frequent on until their share of the text is reached; the space always.</summary>
    private static Rune[] CoveredCharacters(IReadOnlyDictionary<string, long> words, double coverage)
    {
        var counts = new Dictionary<Rune, long>();
        foreach ((string word, long count) in words)
        {
            foreach (Rune rune in word.EnumerateRunes())
                counts[rune] = counts.GetValueOrDefault(rune) + count;
        }

        var space = new Rune('▁');
        long total = counts.Where(c => c.Key != space).Sum(c => c.Value);
        List<Rune> covered = [space];
        long sum = 0;
        foreach ((Rune rune, long count) in counts.Where(c => c.Key != space).OrderByDescending(c => c.Value).ThenBy(c => c.Key.Value))
        {
            if (sum >= total * coverage)
                break;
            covered.Add(rune);
            sum += count;
        }

        return [.. covered];
    }

    private List<string> Learn(IReadOnlyDictionary<string, long> words, Rune[] characters, int merges, Action<int, int>? progress, CancellationToken cancellation)
    {
        foreach (Rune character in characters)
            IdOf(character.ToString());
        foreach ((string word, long count) in words.OrderBy(w => w.Key, StringComparer.Ordinal))
            AddWord(word, count);
        EnqueueChanged();

        var learnt = new List<string>(merges);
        while (learnt.Count < merges && _queue.TryDequeue(out Pair? pair, out MergeRank rank))
        {
            if (pair.Count != rank.Worth || pair.Count <= 0)
                continue; // its count changed since; a newer entry is in the queue
            cancellation.ThrowIfCancellationRequested();
            bool isNew = !_idOfText.ContainsKey(pair.Text);
            MergeEverywhere(pair, IdOf(pair.Text));
            EnqueueChanged();
            if (isNew)
            {
                learnt.Add(pair.Text);
                progress?.Invoke(learnt.Count, merges);
            }
        }

        return learnt;
    }

    // A character without a piece parts the word: merges never reach over it.
    private void AddWord(string word, long count)
    {
        var symbols = new List<int>(word.Length);
        foreach (Rune rune in word.EnumerateRunes())
        {
            if (_idOfText.TryGetValue(rune.ToString(), out int id))
            {
                symbols.Add(id);
                continue;
            }

            Flush();
        }

        Flush();

        void Flush()
        {
            if (symbols.Count > 1)
            {
                _words.Add(([.. symbols], count));
                for (int i = 1; i < symbols.Count; i++)
                    Change(symbols[i - 1], symbols[i], count, _words.Count - 1);
            }

            symbols.Clear();
        }
    }

    private void MergeEverywhere(Pair pair, int merged)
    {
        foreach (int index in pair.Words.Order())
        {
            (int[] symbols, long count) = _words[index];
            var next = new List<int>(symbols.Length);
            for (int i = 0; i < symbols.Length; i++)
            {
                bool hit = i + 1 < symbols.Length && symbols[i] == pair.Left && symbols[i + 1] == pair.Right;
                next.Add(hit ? merged : symbols[i]);
                if (hit)
                    i++;
            }

            if (next.Count == symbols.Length)
                continue;
            for (int i = 1; i < symbols.Length; i++)
                Change(symbols[i - 1], symbols[i], -count, -1);
            for (int i = 1; i < next.Count; i++)
                Change(next[i - 1], next[i], count, index);
            _words[index] = ([.. next], count);
        }

        pair.Words.Clear();
    }

    private void Change(int left, int right, long by, int word)
    {
        long key = ((long)left << 32) | (uint)right;
        if (!_pairs.TryGetValue(key, out Pair? pair))
            _pairs[key] = pair = new Pair(left, right, _texts[left] + _texts[right]);
        pair.Count += by;
        if (word >= 0)
            pair.Words.Add(word);
        _changed.Add(key);
    }

    private void EnqueueChanged()
    {
        foreach (long key in _changed)
        {
            Pair pair = _pairs[key];
            if (pair.Count > 0 && pair.Count != pair.Queued && pair.Text.Length <= MaxPieceCharacters)
                _queue.Enqueue(pair, new MergeRank(pair.Count, pair.Text, pair.Left));
            pair.Queued = pair.Count;
        }

        _changed.Clear();
    }

    private int IdOf(string text)
    {
        if (!_idOfText.TryGetValue(text, out int id))
        {
            id = _texts.Count;
            _idOfText.Add(text, id);
            _texts.Add(text);
        }

        return id;
    }

    private sealed class Pair(int left, int right, string text)
    {
        public int Left => left;

        public int Right => right;

        public string Text => text;

        public long Count { get; set; }

        public long Queued { get; set; }

        public HashSet<int> Words { get; } = [];
    }
}
