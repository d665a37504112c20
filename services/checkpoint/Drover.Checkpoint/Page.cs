using Drover.Errors;

namespace Drover.Checkpoint;

/// <summary>Pages of a list of names in ordinal order: the token is the last name of the page before.</summary>
internal static class Page
{
    private const int DefaultSize = 50;
    private const int MaxSize = 1000;

    /// <summary>The page after a token, and the token of the next one ("" after the last).</summary>
    /// <exception cref="DroverException">InvalidArgument for a negative size.</exception>
    public static (IReadOnlyList<string> Names, string NextToken) Of(IEnumerable<string> names, int size, string token)
    {
        if (size < 0)
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_PAGE_SIZE", $"page_size is {size}; it must be 0 (for {DefaultSize}) to {MaxSize}.");
        int wanted = size == 0 ? DefaultSize : Math.Min(size, MaxSize);
        string[] rest = [.. names.Where(n => string.CompareOrdinal(n, token) > 0).Order(StringComparer.Ordinal).Take(wanted + 1)];
        return rest.Length <= wanted ? (rest, "") : (rest[..wanted], rest[wanted - 1]);
    }
}
