using System.CommandLine;
using System.Globalization;
using System.Text;
using Drover.Protocol.DataPrep.V1;
using Spectre.Console;

namespace Drover.Cli.Commands;

/// <summary><c>drover dataset inspect</c>: rows as the model sees them.</summary>
internal static class DatasetInspectCommand
{
    private const int Ignored = -100;
    private static readonly Option<long> First = new("--row") { Description = "The first row, from 0", HelpName = "ROW" };
    private static readonly Option<int> Count = new("--rows") { Description = "How many, up to 100", DefaultValueFactory = _ => 1, HelpName = "COUNT" };

    public static Command Build(Argument<string> reference) => new Command("inspect", """
        Show rows decoded: what carries loss in green, what does not dimmed, special tokens in blue, with a rule where a document begins.

        Example:
          drover dataset inspect my-data --row 12 --rows 3
        """) { reference, First, Count }.Does(async (context, parse) =>
    {
        var request = new ReadDatasetRowsRequest { Dataset = DatasetReference.Of(parse.GetValue(reference)!), FirstRow = parse.GetValue(First), Rows = parse.GetValue(Count) };
        ReadDatasetRowsResponse read = await context.DataPrep.ReadDatasetRowsAsync(request, cancellationToken: context.Cancellation).ConfigureAwait(false);
        if (context.Json)
            context.WriteJson(read);
        else
            Show(context, read);
        return ExitCodes.Ok;
    });

    private static void Show(CliContext context, ReadDatasetRowsResponse read)
    {
        foreach (DatasetRow row in read.Rows)
        {
            int labels = row.Labels.Count(l => l != Ignored);
            context.Terminal.MarkupLine(string.Create(CultureInfo.InvariantCulture, $"[bold]row {row.Row}[/]: {row.InputIds.Count} tokens, {labels} with loss, {row.DocumentLengths.Count} documents"));
            int start = 0;
            for (int document = 0; document < row.DocumentLengths.Count; document++)
            {
                int length = row.DocumentLengths[document];
                context.Terminal.MarkupLine(string.Create(CultureInfo.InvariantCulture, $"[yellow]--- document {document + 1}: {length} tokens ---[/]"));
                context.Terminal.MarkupLine(Marked(row, start, length));
                start += length;
            }
        }
    }

    // Neighbours of one colour share a markup tag.
    private static string Marked(DatasetRow row, int start, int length)
    {
        var text = new StringBuilder();
        string? colour = null;
        for (int i = start; i < start + length; i++)
        {
            bool isSpecial = row.Texts[i] is ['<', .., '>'];
            string now = (isSpecial, row.Labels[i] != Ignored) switch
            {
                (true, true) => "blue",
                (true, false) => "dim blue",
                (false, true) => "green",
                _ => "dim",
            };
            if (now != colour)
                text.Append(colour is null ? "" : "[/]").Append(CultureInfo.InvariantCulture, $"[{now}]");
            colour = now;
            text.Append(row.Texts[i].EscapeMarkup());
        }

        return text.Append(colour is null ? "" : "[/]").ToString();
    }
}
