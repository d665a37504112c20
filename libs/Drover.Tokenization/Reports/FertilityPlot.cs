using System.Globalization;
using System.Security;
using System.Text;

namespace Drover.Tokenization.Reports;

/// <summary>A report as a picture: for each row two bars, tokens per character before and after. Plain SVG, without scripts.</summary>
public static class FertilityPlot
{
    private const int Width = 760;
    private const int Left = 260;
    private const int RowHeight = 46;
    private const int Top = 50;

    /// <summary>The SVG document.</summary>
    public static string Svg(IReadOnlyList<FertilityRow> rows)
    {
        double most = rows.Select(r => Math.Max(r.CompressionBefore, r.CompressionAfter)).DefaultIfEmpty(1).Max();
        var svg = new StringBuilder();
        int height = Top + (rows.Count * RowHeight) + 20;
        Append(svg, $"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{Width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">");
        Append(svg, $"<rect width=\"{Width}\" height=\"{height}\" fill=\"white\"/>");
        Append(svg, $"<text x=\"10\" y=\"20\" font-size=\"14\">Tokens per character</text>");
        Append(svg, $"<rect x=\"{Left}\" y=\"10\" width=\"12\" height=\"12\" fill=\"#9aa5b1\"/><text x=\"{Left + 18}\" y=\"20\">before</text>");
        Append(svg, $"<rect x=\"{Left + 80}\" y=\"10\" width=\"12\" height=\"12\" fill=\"#2f6f4f\"/><text x=\"{Left + 98}\" y=\"20\">after</text>");
        for (int i = 0; i < rows.Count; i++)
            AddRow(svg, rows[i], Top + (i * RowHeight), most);
        return svg.Append("</svg>\n").ToString();
    }

    private static void AddRow(StringBuilder svg, FertilityRow row, int y, double most)
    {
        string name = row.Source.Length == 0 ? "all" : $"{row.Source[(row.Source.LastIndexOf('/') + 1)..]}, {row.Language}";
        Append(svg, $"<text x=\"{Left - 10}\" y=\"{y + 20}\" text-anchor=\"end\">{SecurityElement.Escape(name.Length > 40 ? name[..40] : name)}</text>");
        AddBar(svg, y, row.CompressionBefore, most, "#9aa5b1");
        AddBar(svg, y + 17, row.CompressionAfter, most, "#2f6f4f");
    }

    private static void AddBar(StringBuilder svg, int y, double value, double most, string colour)
    {
        double width = most > 0 ? value / most * (Width - Left - 80) : 0;
        Append(svg, $"<rect x=\"{Left}\" y=\"{y}\" width=\"{width:0.#}\" height=\"15\" fill=\"{colour}\"/><text x=\"{Left + width + 6:0.#}\" y=\"{y + 12}\">{value:0.000}</text>");
    }

    private static void Append(StringBuilder svg, FormattableString line) => svg.Append(line.ToString(CultureInfo.InvariantCulture)).Append('\n');
}
