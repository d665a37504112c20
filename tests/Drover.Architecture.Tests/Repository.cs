using Drover.Testing;

namespace Drover.Architecture.Tests;

/// <summary>The checkout the tests run in.</summary>
internal static class Repository
{
    public static string Root => Checkout.Root;

    /// <summary>All project files, relative, with forward slashes.</summary>
    public static IReadOnlyList<string> Projects { get; } =
        [.. Directory.EnumerateFiles(Root, "*.csproj", SearchOption.AllDirectories)
            .Select(p => Path.GetRelativePath(Root, p).Replace('\\', '/'))
            .Where(p => !p.StartsWith("artifacts/", StringComparison.Ordinal))
            .Order(StringComparer.Ordinal)];
}
