using System.Globalization;

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
}
