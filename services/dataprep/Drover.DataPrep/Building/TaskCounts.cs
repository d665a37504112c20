using Drover.Formats.Datasets;

namespace Drover.DataPrep.Building;

/// <summary>What became of what was read. Sums of tasks' counts are those of the dataset.</summary>
internal sealed record TaskCounts
{
    /// <summary>Buckets of <see cref="RowTokens"/>.</summary>
    public const int RowBuckets = 20;

    private const int DocumentBuckets = 32;

    public long LinesIn { get; set; }

    public long LinesRejected { get; set; }

    public long TextBytes { get; set; }

    public SortedDictionary<string, CategoryTotals> Categories { get; init; } = new(StringComparer.Ordinal);

    public SortedDictionary<string, RejectTotals> Rejects { get; init; } = new(StringComparer.Ordinal);

    public SortedDictionary<string, long> Languages { get; init; } = new(StringComparer.Ordinal);

    /// <summary>See <see cref="DatasetManifest.DocumentTokens"/>.</summary>
    public long[] DocumentTokens { get; init; } = new long[DocumentBuckets];

    /// <summary>See <see cref="DatasetManifest.RowTokens"/>.</summary>
    public long[] RowTokens { get; init; } = new long[RowBuckets];

    /// <summary>Sums over categories.</summary>
    public CategoryTotals Totals() => Categories.Values.Aggregate(new CategoryTotals(0, 0, 0, 0, 0), (a, b) => a + b);

    /// <summary>The counts of a finished dataset.</summary>
    public static TaskCounts Of(DatasetManifest manifest)
    {
        var counts = new TaskCounts { LinesIn = manifest.LinesIn, LinesRejected = manifest.LinesRejected, TextBytes = manifest.TextBytes };
        Add(counts.Categories, manifest.Categories, (a, b) => a + b);
        Add(counts.Rejects, manifest.Rejects, (a, b) => a + b);
        Add(counts.Languages, manifest.Languages, (a, b) => a + b);
        manifest.DocumentTokens.ToArray().CopyTo(counts.DocumentTokens, 0);
        manifest.RowTokens.ToArray().CopyTo(counts.RowTokens, 0);
        return counts;
    }

    public void Add(TaskCounts other)
    {
        LinesIn += other.LinesIn;
        LinesRejected += other.LinesRejected;
        TextBytes += other.TextBytes;
        Add(Categories, other.Categories, (a, b) => a + b);
        Add(Rejects, other.Rejects, (a, b) => a + b);
        Add(Languages, other.Languages, (a, b) => a + b);
        for (int i = 0; i < DocumentBuckets; i++)
            DocumentTokens[i] += other.DocumentTokens[i];
        for (int i = 0; i < RowBuckets; i++)
            RowTokens[i] += other.RowTokens[i];
    }

    public void AddReject(string reason, long tokens) =>
        Rejects[reason] = (Rejects.TryGetValue(reason, out RejectTotals? before) ? before : new RejectTotals(0, 0)) + new RejectTotals(1, tokens);

    /// <summary>Counts a document by its length.</summary>
    public void AddDocument(int tokens)
    {
        DocumentTokens[System.Numerics.BitOperations.Log2((uint)Math.Max(1, tokens - 1)) + (tokens > 1 ? 1 : 0)]++;
    }

    public void AddRow(int tokens, int maxLength) => RowTokens[(int)((tokens - 1L) * RowBuckets / maxLength)]++;

    private static void Add<T>(SortedDictionary<string, T> to, SortedDictionary<string, T> from, Func<T, T, T> sum)
    {
        foreach ((string key, T value) in from)
            to[key] = to.TryGetValue(key, out T? before) ? sum(before, value) : value;
    }
}
