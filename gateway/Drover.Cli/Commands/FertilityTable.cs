using System.Globalization;
using System.Text;
using Drover.Protocol.Tokenizer.V1;

namespace Drover.Cli.Commands;

/// <summary>An expansion's report as a table.</summary>
internal static class FertilityTable
{
    private static readonly string[] Heads = ["source", "language", "documents", "tokens before", "after", "ratio", "per character", "after", "per word", "after", "bytes a token", "after"];

    public static string Of(ExpansionResult result)
    {
        string[][] rows = [Heads, .. result.Report.Select(Cells)];
        int[] widths = [.. Heads.Select((_, i) => rows.Max(r => r[i].Length))];
        var text = new StringBuilder();
        foreach (string[] row in rows)
            text.AppendLine(string.Join("  ", row.Select((cell, i) => i < 2 ? cell.PadRight(widths[i]) : cell.PadLeft(widths[i]))).TrimEnd());
        text.Append(CultureInfo.InvariantCulture, $"{result.NewParameters:N0} parameters more; details in {result.ReportFolder}");
        return text.ToString();
    }

    private static string[] Cells(FertilityRow row) =>
    [
        row.Source.Length == 0 ? "all" : row.Source[(row.Source.LastIndexOf('/') + 1)..],
        row.Language,
        Whole(row.Documents),
        Whole(row.TokensBefore),
        Whole(row.TokensAfter),
        Ratio(row.TokensAfter, row.TokensBefore),
        Ratio(row.TokensBefore, row.Characters),
        Ratio(row.TokensAfter, row.Characters),
        Ratio(row.TokensBefore, row.Words),
        Ratio(row.TokensAfter, row.Words),
        Ratio(row.Utf8Bytes, row.TokensBefore),
        Ratio(row.Utf8Bytes, row.TokensAfter),
    ];

    private static string Whole(long value) => value.ToString("N0", CultureInfo.InvariantCulture);

    private static string Ratio(long a, long b) => b == 0 ? "-" : ((double)a / b).ToString("0.000", CultureInfo.InvariantCulture);
}
