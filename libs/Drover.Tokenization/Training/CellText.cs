namespace Drover.Tokenization.Training;

/// <summary>
/// All words of a text in one array of symbols, a cell for each, with a border (-1) after each word. A symbol made of several covers their
/// cells: its first and its last hold how many. 9 bytes a cell: memory goes with the different words of a text, not with its length.
/// </summary>
internal sealed class CellText
{
    private const int Border = -1;
    private const int Covered = -2;
    private readonly int[] _symbols;
    private readonly byte[] _spans;
    private readonly int[] _weights;
    private readonly Dictionary<string, int> _ids;

    private CellText(int[] symbols, int[] weights, List<string> texts, List<int> tokens, Dictionary<string, int> ids)
    {
        _symbols = symbols;
        _weights = weights;
        _spans = new byte[symbols.Length];
        Array.Fill(_spans, (byte)1);
        _ids = ids;
        Texts = texts;
        Tokens = tokens;
    }

    public int Length => _symbols.Length;

    /// <summary>Text of each symbol.</summary>
    public List<string> Texts { get; }

    /// <summary>Tokens that each symbol takes; 1 for pieces.</summary>
    public List<int> Tokens { get; }

    /// <summary>The symbol that begins at a cell; -1 at the border of a word.</summary>
    public int this[int at] => _symbols[at];

    /// <summary>Lays out the words; encoding them goes on all cores, and their order is that of their text.</summary>
    public static CellText Of(TrainingWords words, BpeTokenizer tokenizer, CancellationToken cancellation)
    {
        KeyValuePair<string, long>[] all = [.. words.Counts];
        Array.Sort(all, (a, b) => string.CompareOrdinal(a.Key, b.Key));
        List<TokenUnit>[] units = new List<TokenUnit>[all.Length];
        Parallel.For(0, (all.Length + 4095) / 4096, new ParallelOptions { CancellationToken = cancellation }, block =>
        {
            for (int i = block * 4096; i < Math.Min(all.Length, (block + 1) * 4096); i++)
                units[i] = TokenUnit.Of(all[i].Key, tokenizer);
        });

        var texts = new List<string>();
        var tokens = new List<int>();
        var ids = new Dictionary<string, int>(StringComparer.Ordinal);
        long cells = units.Sum(u => (long)u.Count + 1);
        int[] symbols = new int[cells];
        int[] weights = new int[cells];
        int at = 0;
        for (int i = 0; i < all.Length; i++)
        {
            int weight = (int)Math.Min(int.MaxValue, all[i].Value);
            foreach (TokenUnit unit in units[i])
            {
                if (!ids.TryGetValue(unit.Text, out int id))
                {
                    ids.Add(unit.Text, id = texts.Count);
                    texts.Add(unit.Text);
                    tokens.Add(unit.Tokens);
                }

                weights[at] = weight;
                symbols[at++] = id;
            }

            symbols[at++] = Border;
            units[i] = [];
        }

        return new CellText(symbols, weights, texts, tokens, ids);
    }

    public static long Key(int left, int right) => ((long)left << 32) | (uint)right;

    public int Next(int at) => at + _spans[at];

    /// <summary>Where the symbol before a place begins, -1 at the start.</summary>
    public int Previous(int at) => at == 0 ? -1 : at - _spans[at - 1];

    public long WeightAt(int at) => _weights[at];

    public int SymbolOf(string text, int tokens)
    {
        if (!_ids.TryGetValue(text, out int id))
        {
            _ids.Add(text, id = Texts.Count);
            Texts.Add(text);
            Tokens.Add(tokens);
        }

        return id;
    }

    /// <summary>Puts a symbol in place of the one at a cell and the one behind it.</summary>
    public void Merge(int at, int merged)
    {
        int span = _spans[at] + _spans[Next(at)];
        _symbols[Next(at)] = Covered;
        _symbols[at] = merged;
        _spans[at] = _spans[at + span - 1] = (byte)span;
    }

    /// <summary>How often each symbol of several tokens occurs.</summary>
    public Dictionary<int, long> CountSeveral()
    {
        var counts = new Dictionary<int, long>();
        for (int at = 0; at < _symbols.Length; at++)
        {
            if (_symbols[at] >= 0 && Tokens[_symbols[at]] > 1)
                counts[_symbols[at]] = counts.GetValueOrDefault(_symbols[at]) + _weights[at];
        }

        return counts;
    }

    /// <summary>Makes borders of the characters beyond the coverage: they stay bytes and join nothing.</summary>
    public void KeepBytes(double coverage)
    {
        Dictionary<int, long> counts = CountSeveral();
        long total = counts.Values.Sum();
        long sum = 0;
        var bytes = new HashSet<int>();
        foreach ((int symbol, long count) in counts.OrderByDescending(c => c.Value).ThenBy(c => Texts[c.Key], StringComparer.Ordinal))
        {
            if (sum >= total * coverage)
                bytes.Add(symbol);
            sum += count;
        }

        for (int at = 0; at < _symbols.Length; at++)
        {
            if (bytes.Contains(_symbols[at]))
                _symbols[at] = Border;
        }
    }

    /// <summary>How often each pair occurs; blocks are counted on all cores.</summary>
    public Dictionary<long, long> CountPairs(CancellationToken cancellation)
    {
        int blocks = Math.Clamp(_symbols.Length / 100_000, 1, Environment.ProcessorCount);
        var parts = new Dictionary<long, long>[blocks];
        Parallel.For(0, blocks, new ParallelOptions { CancellationToken = cancellation }, block =>
        {
            Dictionary<long, long> counts = parts[block] = [];
            int end = (int)((long)(block + 1) * _symbols.Length / blocks);
            for (int at = (int)((long)block * _symbols.Length / blocks); at < end && at + 1 < _symbols.Length; at++)
            {
                if (_symbols[at] >= 0 && _symbols[at + 1] >= 0)
                    System.Runtime.InteropServices.CollectionsMarshal.GetValueRefOrAddDefault(counts, Key(_symbols[at], _symbols[at + 1]), out _) += _weights[at];
            }
        });

        foreach (Dictionary<long, long> part in parts[1..])
        {
            foreach ((long key, long count) in part)
                System.Runtime.InteropServices.CollectionsMarshal.GetValueRefOrAddDefault(parts[0], key, out _) += count;
        }

        return parts[0];
    }
}
