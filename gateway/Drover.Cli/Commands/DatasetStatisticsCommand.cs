using System.CommandLine;
using System.Globalization;
using System.Text;
using System.Xml.Linq;
using Drover.Protocol.DataPrep.V1;
using Spectre.Console;

namespace Drover.Cli.Commands;

/// <summary><c>drover dataset statistics</c>: counts and histograms of a dataset.</summary>
internal static class DatasetStatisticsCommand
{
    private const int BarWidth = 40;
    private const int RowHeight = 18;
    private const int LabelWidth = 170;
    private const int PlotWidth = 420;
    private static readonly Option<string> Plot = new("--plot") { Description = "Write the histograms as an SVG file, too", DefaultValueFactory = _ => "", HelpName = "FILE" };

    public static Command Build(Argument<string> reference) => new Command("statistics", """
        Show how long documents are, how full rows are, and what is in them by category and language. With --json: all numbers.

        Example:
          drover dataset statistics my-data --plot my-data.svg
        """) { reference, Plot }.Does(async (context, parse) =>
    {
        var request = new GetDatasetRequest { Dataset = DatasetReference.Of(parse.GetValue(reference)!) };
        Dataset dataset = (await context.DataPrep.GetDatasetAsync(request, cancellationToken: context.Cancellation).ConfigureAwait(false)).Dataset;
        List<(string Title, List<(string Label, long Count)> Bars)> charts = [.. Charts(dataset)];
        string file = parse.GetValue(Plot)!;
        if (file.Length > 0)
            await File.WriteAllTextAsync(file, Svg(dataset.Dataset_, charts), context.Cancellation).ConfigureAwait(false);
        if (context.Json)
        {
            context.WriteJson(dataset);
            return ExitCodes.Ok;
        }

        foreach ((string title, List<(string Label, long Count)> bars) in charts)
        {
            context.Terminal.MarkupLineInterpolated($"[bold]{title}[/]");
            long most = bars.Max(b => b.Count);
            int width = bars.Max(b => b.Label.Length);
            foreach ((string label, long count) in bars)
                context.Terminal.MarkupLineInterpolated($"  {label.PadRight(width)} [green]{new string('#', (int)Math.Ceiling(BarWidth * count / (double)most))}[/] {Text.Count(count)}");
        }

        return ExitCodes.Ok;
    });

    private static IEnumerable<(string Title, List<(string Label, long Count)> Bars)> Charts(Dataset dataset)
    {
        (string, List<(string Label, long Count)>)[] all =
        [
            ("documents by tokens", Buckets(dataset.DocumentTokens, upper => $"up to {Text.Count(upper)}")),
            (string.Create(CultureInfo.InvariantCulture, $"rows by tokens (of {dataset.MaxLength})"), Buckets(dataset.RowTokens, upper => $"up to {Text.Count(upper)}")),
            ("tokens by category", Named(dataset.Categories.Select(c => (c.Key, c.Value.TokensInRows)))),
            ("documents by language", Named(dataset.Languages.Select(l => (l.Key, l.Value)))),
            ("rejected by reason", Named(dataset.RejectsByReason.Select(r => (r.Key, r.Value.Entries)))),
        ];
        return all.Where(c => c.Item2.Count > 0);
    }

    private static List<(string Label, long Count)> Buckets(Histogram? histogram, Func<long, string> label) =>
        histogram is null ? [] : [.. histogram.Counts.Zip(histogram.Upper, (count, upper) => (label(upper), count)).Where(b => b.count > 0)];

    private static List<(string Label, long Count)> Named(IEnumerable<(string Name, long Count)> counts) =>
        [.. counts.OrderByDescending(c => c.Count).ThenBy(c => c.Name, StringComparer.Ordinal)];

    private static string Svg(string title, List<(string Title, List<(string Label, long Count)> Bars)> charts)
    {
        XNamespace ns = "http://www.w3.org/2000/svg";
        var elements = new List<XElement>();
        int y = RowHeight;
        void Write(string text, int x, string anchor, bool isBold) => elements.Add(new XElement(
            ns + "text", new XAttribute("x", x), new XAttribute("y", y), new XAttribute("text-anchor", anchor), isBold ? new XAttribute("font-weight", "bold") : null, text));
        Write(title, 0, "start", true);
        foreach ((string name, List<(string Label, long Count)> bars) in charts)
        {
            y += 2 * RowHeight;
            Write(name, 0, "start", true);
            long most = bars.Max(b => b.Count);
            foreach ((string label, long count) in bars)
            {
                y += RowHeight;
                int width = (int)Math.Ceiling(PlotWidth * count / (double)most);
                Write(label, LabelWidth, "end", false);
                elements.Add(new XElement(ns + "rect", new XAttribute("x", LabelWidth + 8), new XAttribute("y", y - 12), new XAttribute("width", width), new XAttribute("height", 14), new XAttribute("fill", "#2a7")));
                Write(Text.Count(count), LabelWidth + 14 + width, "start", false);
            }
        }

        var svg = new XElement(ns + "svg", new XAttribute("width", LabelWidth + PlotWidth + 120), new XAttribute("height", y + RowHeight), new XAttribute("font-family", "sans-serif"), new XAttribute("font-size", 12), elements);
        return new StringBuilder(svg.ToString()).Append('\n').ToString();
    }
}
