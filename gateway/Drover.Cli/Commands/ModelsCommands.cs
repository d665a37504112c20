using System.CommandLine;
using Drover.Protocol.Checkpoint.V1;
using Spectre.Console;

namespace Drover.Cli.Commands;

/// <summary><c>drover models</c>.</summary>
internal static class ModelsCommands
{
    private static readonly Argument<string> Model = new("MODEL") { Description = "The model, e.g. models/my-model" };

    public static Command Build() => new("models", "Models in the object store.")
    {
        new Command("list", """
            List the models that can be pulled.

            Example:
              drover models list
            """).Does(ListAsync),
        new Command("delete", """
            Remove a model; refused while a run that began from it may need it.

            Example:
              drover models delete models/my-model --dry-run
            """) { Model, CheckpointKeepingCommands.DryRun }.Does(async (context, parse) =>
            {
                var request = new DeleteModelRequest { Name = parse.GetValue(Model), DryRun = parse.GetValue(CheckpointKeepingCommands.DryRun) };
                DeleteModelResponse answer = await context.Checkpoint.DeleteModelAsync(request, cancellationToken: context.Cancellation).ConfigureAwait(false);
                return RemovalText.Write(context, answer, answer.Removal, request.DryRun);
            }),
    };

    private static async Task<int> ListAsync(CliContext context, ParseResult parse)
    {
        Table table = new Table().Border(TableBorder.Rounded).AddColumns("model", "size", "content");
        string page = "";
        do
        {
            ListModelsResponse answer = await context.Checkpoint.ListModelsAsync(new ListModelsRequest { PageToken = page }, cancellationToken: context.Cancellation).ConfigureAwait(false);
            foreach (Protocol.Checkpoint.V1.Model model in answer.Models)
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
