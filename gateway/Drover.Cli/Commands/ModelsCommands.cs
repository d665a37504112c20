using System.CommandLine;
using Drover.Cli.Jobs;
using Drover.Protocol.Checkpoint.V1;
using Spectre.Console;

namespace Drover.Cli.Commands;

/// <summary><c>drover models</c>.</summary>
internal static class ModelsCommands
{
    private static readonly Argument<string> Model = new("MODEL") { Description = "The model, e.g. models/my-model" };

    private static readonly Argument<string> Name = new("NAME") { Description = "Name of the model: written to models/NAME" };
    private static readonly Argument<string> Repository = new("REPOSITORY") { Description = "As the Hub calls it, e.g. meta-llama/Llama-3.2-1B" };
    private static readonly Option<string> Revision = new("--revision") { Description = "Branch, tag or commit; default: main", HelpName = "REVISION", DefaultValueFactory = _ => "" };
    private static readonly Option<string> Address = new("--address") { Description = "One of the service's Checkpoint:ImportAddresses; default: the first", HelpName = "ADDRESS", DefaultValueFactory = _ => "" };

    public static Command Build() => new("models", "Models in the object store.")
    {
        new Command("list", """
            List the models that can be pulled.

            Example:
              drover models list
            """).Does(ListAsync),
        new Command("import", """
            Fetch a model from the Hugging Face Hub, what answers as it does, or another bucket, into the object store. A broken import goes on where it was.

            Example:
              drover models import llama-1b meta-llama/Llama-3.2-1B
              drover models import ours runs/my-run --revision step-1000 --address http://other:7581
              drover models import llama team/llama-1b --address s3://models
            """) { Name, Repository, Revision, Address, JobStart.Detach }.Does(ImportAsync),
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

    private static async Task<int> ImportAsync(CliContext context, ParseResult parse)
    {
        var spec = new ImportSpec { Name = parse.GetValue(Name), Repository = parse.GetValue(Repository), Revision = parse.GetValue(Revision), Address = parse.GetValue(Address) };
        var request = new CreateImportRequest { RequestId = JobStart.NewRequestId(), Spec = spec };
        Import import = (await context.Checkpoint.CreateImportAsync(request, cancellationToken: context.Cancellation).ConfigureAwait(false)).Import;
        return await JobStart.FollowAsync(context, parse, new JobSources(context).Imports, import.Job, import, done => $"{done.Result.Name}: {done.Result.Files.Count} files, {Text.Bytes(done.Result.SizeBytes)}").ConfigureAwait(false);
    }

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
