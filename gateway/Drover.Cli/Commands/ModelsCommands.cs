using System.CommandLine;
using Drover.Protocol.Checkpoint.V1;
using Spectre.Console;

namespace Drover.Cli.Commands;

/// <summary><c>drover models</c>.</summary>
internal static class ModelsCommands
{
    public static Command Build() => new("models", "Models in the object store.")
    {
        new Command("list", """
            List the models that can be pulled.

            Example:
              drover models list
            """).Does(ListAsync),
    };

    private static async Task<int> ListAsync(CliContext context, ParseResult parse)
    {
        Table table = new Table().Border(TableBorder.Rounded).AddColumns("model", "size", "content");
        string page = "";
        do
        {
            ListModelsResponse answer = await context.Checkpoint.ListModelsAsync(new ListModelsRequest { PageToken = page }, cancellationToken: context.Cancellation).ConfigureAwait(false);
            foreach (Model model in answer.Models)
            {
                if (context.Json)
                    context.WriteJson(model);
                else
                    table.AddRow(model.Name.EscapeMarkup(), Text.Bytes(model.SizeBytes), model.ContentHash.Length > 12 ? model.ContentHash[..12] : model.ContentHash);
            }

            page = answer.NextPageToken;
        }
        while (page.Length > 0);
        if (!context.Json)
            context.Terminal.Write(table);
        return ExitCodes.Ok;
    }
}
