using Drover.Formats.Datasets;

namespace Drover.DataPrep.Building;

/// <summary>The counts of a category while a task is done; see <see cref="CategoryTotals"/>.</summary>
internal sealed class CategorySum
{
    public long Documents { get; set; }

    public long TokensIn { get; set; }

    public long TokensInRows { get; set; }

    public long TokensRejected { get; set; }

    public long LabelTokens { get; set; }
}

/// <summary>Sums by category. Neighbours are mostly of one category, which is then not looked up.</summary>
internal sealed class CategorySums
{
    private readonly Dictionary<string, CategorySum> _sums = new(StringComparer.Ordinal);
    private string? _lastCategory;
    private CategorySum _last = new();

    /// <summary>The sums of a category, to add to.</summary>
    public CategorySum Of(string category)
    {
        if (ReferenceEquals(category, _lastCategory))
            return _last;
        if (!_sums.TryGetValue(category, out CategorySum? sum))
            _sums.Add(category, sum = new CategorySum());
        (_lastCategory, _last) = (category, sum);
        return sum;
    }

    /// <summary>Adds them where a task's record has them.</summary>
    public void AddTo(TaskCounts counts)
    {
        foreach ((string category, CategorySum sum) in _sums)
        {
            var totals = new CategoryTotals(sum.Documents, sum.TokensIn, sum.TokensInRows, sum.TokensRejected, sum.LabelTokens);
            counts.Categories[category] = counts.Categories.TryGetValue(category, out CategoryTotals? before) ? before + totals : totals;
        }
    }
}
