using System.Globalization;
using Drover.Protocol.Common.V1;

namespace Drover.Cli;

/// <summary>Numbers as people read them.</summary>
internal static class Text
{
    private static readonly string[] Units = ["B", "kB", "MB", "GB", "TB"];

    /// <summary>"12.3 MB".</summary>
    public static string Bytes(long bytes)
    {
        double value = bytes;
        int unit = 0;
        for (; value >= 1000 && unit < Units.Length - 1; unit++)
            value /= 1000;
        return string.Create(CultureInfo.InvariantCulture, $"{value:0.#} {Units[unit]}");
    }

    /// <summary>"12,345".</summary>
    public static string Count(double value) => value.ToString("N0", CultureInfo.InvariantCulture);

    /// <summary>"4.1234".</summary>
    public static string Loss(double value) => value.ToString("0.0000", CultureInfo.InvariantCulture);

    /// <summary>"tokenizing  12,345 documents  6,789,012 tokens  3.4 MB/s".</summary>
    public static string Progress(Progress progress)
    {
        string counts = string.Concat(progress.Counts.OrderBy(c => c.Key, StringComparer.Ordinal).Where(c => c.Value > 0).Select(c => $"  {Count(c.Value)} {c.Key}"));
        string rate = progress.Rate <= 0 ? "" : progress.Unit == "bytes" ? $"  {Bytes((long)progress.Rate)}/s" : $"  {Count(progress.Rate)} {progress.Unit}/s";
        return progress.Stage + counts + rate;
    }
}
