namespace Drover.Tokenization.Training;

/// <summary>
/// Learns the pieces that save most tokens, by BPE training that goes on where the base tokenizer's own merges end: words are encoded by the
/// base, and of the pairs that are left the most frequent becomes the next piece; a character without a piece counts for the tokens it
/// saves. Sennrich et al. 2016 (arxiv.org/abs/1508.07909). The same words give the same pieces, on any number of threads.
/// </summary>
public sealed class PieceLearner
{
    private readonly PieceLearningOptions _options;
    private readonly CellText _cells;
    private readonly HashSet<int> _offered = [];
    private readonly Dictionary<long, Pair> _pairs = [];
    private readonly PriorityQueue<Candidate, MergeRank> _queue = new();
    private readonly Dictionary<int, List<long>> _waiting = [];
    private readonly BpeTokenizer _tokenizer;
    private readonly HashSet<string> _pieces;
    private readonly List<string> _result = [];

    private PieceLearner(BpeTokenizer tokenizer, CellText cells, PieceLearningOptions options)
    {
        _tokenizer = tokenizer;
        _cells = cells;
        _options = options;
        _pieces = [.. Enumerable.Range(0, tokenizer.VocabularySize).Where(id => !tokenizer.IsSpecial(id)).Select(tokenizer.TextOf).OfType<string>()];
    }

    /// <summary>Learns pieces, the most valuable first; fewer than asked for where the text gives no more.</summary>
    /// <param name="vocabulary">The base.</param>
    /// <param name="words">What to learn from.</param>
    /// <param name="options">Which pieces.</param>
    /// <param name="progress">Told how many are learnt, of how many.</param>
    /// <param name="cancellation">Stops learning.</param>
    public static IReadOnlyList<string> Learn(Vocabulary vocabulary, TrainingWords words, PieceLearningOptions options, Action<int, int>? progress, CancellationToken cancellation)
    {
        BpeTokenizer tokenizer = TokenizerFolder.CreateBpe(vocabulary);
        CellText cells = CellText.Of(words, tokenizer, cancellation);
        cells.KeepBytes(options.CharacterCoverage);
        var learner = new PieceLearner(tokenizer, cells, options);
        learner.OfferAll(cancellation);
        learner.Run(progress, cancellation);
        return learner._result;
    }

    private void OfferAll(CancellationToken cancellation)
    {
        foreach ((int symbol, long count) in _cells.CountSeveral())
            OfferCharacter(symbol, count);
        Dictionary<long, long> counts = _cells.CountPairs(cancellation);
        foreach ((long key, long count) in counts)
        {
            if (count >= _options.MinimumFrequency)
                _pairs.Add(key, new Pair());
        }

        for (int at = 0; at < _cells.Length; at = _cells.Next(at))
            Join(at, 1, onlyKnown: true);
        OfferChanged(_pairs.Keys);
    }

    private void Run(Action<int, int>? progress, CancellationToken cancellation)
    {
        while (_result.Count < _options.Count && _queue.TryDequeue(out Candidate candidate, out MergeRank rank))
        {
            cancellation.ThrowIfCancellationRequested();
            if (candidate.Right < 0)
            {
                Take(candidate.Left);
                _cells.Tokens[candidate.Left] = 1;
                if (_waiting.Remove(candidate.Left, out List<long>? waiting))
                    OfferChanged(waiting);
            }
            else
            {
                Pair pair = _pairs[Key(candidate)];
                if (pair.Count != rank.Worth)
                    continue; // its count changed since; a newer entry is in the queue
                int merged = _cells.SymbolOf(_cells.Texts[candidate.Left] + _cells.Texts[candidate.Right], 1);
                Take(merged);
                MergeEverywhere(candidate, pair, merged);
            }

            progress?.Invoke(_result.Count, _options.Count);
        }
    }

    // Another cut of a piece that is there merges too, and is no new piece.
    private void Take(int symbol)
    {
        if (_pieces.Add(_cells.Texts[symbol]))
            _result.Add(_cells.Texts[symbol]);
    }

    private void OfferCharacter(int symbol, long count)
    {
        if (count >= _options.MinimumFrequency && IsWanted(_cells.Texts[symbol]) && _offered.Add(symbol))
            _queue.Enqueue(new Candidate(symbol, -1), new MergeRank(count * (_cells.Tokens[symbol] - 1), _cells.Texts[symbol], 0));
    }

    private void OfferChanged(IEnumerable<long> keys)
    {
        foreach (long key in keys)
        {
            Pair pair = _pairs[key];
            (int left, int right) = ((int)(key >> 32), (int)key);
            if (pair.Count == pair.Queued || pair.Count < _options.MinimumFrequency)
                continue;
            // A pair of a character that is no piece waits until it becomes one.
            if (_cells.Tokens[left] > 1 || _cells.Tokens[right] > 1)
            {
                int which = _cells.Tokens[left] > 1 ? left : right;
                if (!_waiting.TryGetValue(which, out List<long>? waiting))
                    _waiting.Add(which, waiting = []);
                waiting.Add(key);
                continue;
            }

            string text = _cells.Texts[left] + _cells.Texts[right];
            if (text.Length > _options.MaxPieceLength || !IsWanted(text))
                continue;
            pair.Queued = pair.Count;
            _queue.Enqueue(new Candidate(left, right), new MergeRank(pair.Count, text, left));
        }
    }

    private bool IsWanted(string text) => Scripts.AllOf(text, _options.Scripts) && _tokenizer.IsOneWord(text);

    private void MergeEverywhere(Candidate candidate, Pair pair, int merged)
    {
        var changed = new HashSet<long>();
        int[] places = [.. pair.Places];
        Array.Sort(places);
        pair.Places.Clear();
        int last = -1;
        foreach (int at in places)
        {
            if (at == last || _cells[at] != candidate.Left)
                continue;
            last = at;
            int right = _cells.Next(at);
            if (_cells[right] != candidate.Right)
                continue;
            int before = _cells.Previous(at);
            Note(Join(before, -1), changed);
            Note(Join(at, -1), changed);
            Note(Join(right, -1), changed);
            _cells.Merge(at, merged);
            Note(Join(before, 1), changed);
            Note(Join(at, 1), changed);
        }

        pair.Count = 0;
        OfferChanged(changed);

        static void Note(long? key, HashSet<long> changed)
        {
            if (key is { } pair)
                changed.Add(pair);
        }
    }

    /// <summary>Counts the pair that begins at a place once more or once less, by its word's count.</summary>
    private long? Join(int at, int times, bool onlyKnown = false)
    {
        if (at < 0 || _cells[at] < 0 || _cells[_cells.Next(at)] < 0)
            return null;
        long key = CellText.Key(_cells[at], _cells[_cells.Next(at)]);
        if (!_pairs.TryGetValue(key, out Pair? pair))
        {
            if (onlyKnown || times < 0)
                return null;
            _pairs.Add(key, pair = new Pair());
        }

        pair.Count += times * _cells.WeightAt(at);
        if (times > 0)
            pair.Places.Add(at);
        return key;
    }

    private static long Key(Candidate candidate) => CellText.Key(candidate.Left, candidate.Right);

    private sealed class Pair
    {
        public long Count { get; set; }

        public long Queued { get; set; }

        public List<int> Places { get; } = new(1);
    }

    /// <summary>Two symbols that become one, or (right is -1) a character that becomes a piece.</summary>
    private readonly record struct Candidate(int Left, int Right);
}
