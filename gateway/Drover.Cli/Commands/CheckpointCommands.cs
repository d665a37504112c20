using System.CommandLine;
using System.Globalization;
using Drover.Cli.Inputs;
using Drover.Cli.Jobs;
using Drover.Protocol.Checkpoint.V1;
using Spectre.Console;

namespace Drover.Cli.Commands;

/// <summary><c>drover checkpoint</c>.</summary>
internal static class CheckpointCommands
{
    private static readonly Option<string> Run = new("--run") { Description = "Only those of this run", HelpName = "RUN", DefaultValueFactory = _ => "" };
    private static readonly Argument<string> Checkpoint = new("CHECKPOINT") { Description = "E.g. runs/my-run/checkpoints/step-00000100" };
    private static readonly Argument<string> Name = new("NAME") { Description = "Name of the model: written to models/NAME" };
    private static readonly Option<string> From = new("--checkpoint") { Description = "The checkpoint to export; runs/RUN/checkpoints/best is the best on held-out data", Required = true, HelpName = "CHECKPOINT" };
    private static readonly Option<string> Tokenizer = new("--tokenizer") { Description = "The tokenizer that is put beside the weights", Required = true, HelpName = "TOKENIZER" };
    private static readonly Option<long> MaxShard = new("--max-shard-bytes") { Description = "Largest weight file; 0 means 5 GB" };
    private static readonly Option<bool> KeepPadding = new("--keep-padding") { Description = "Keep rows of the vocabulary after the tokenizer's last id" };
    private static readonly Option<ExportDataType> DataType = EnumOption.Of("--data-type", "Type of the weights", ("bf16", ExportDataType.Bf16), ("fp16", ExportDataType.Fp16), ("fp32", ExportDataType.Fp32));

    private static readonly Option<ExportForm> Form = EnumOption.Of("--form", "Of a run with LoRA: a whole model, or the adapter alone as PEFT keeps it", ("merged", ExportForm.Merged), ("adapter", ExportForm.Adapter));
    private static readonly Option<string> AdapterBase = new("--adapter-base") { Description = "With --form adapter: what its config calls the base model; default: the reference that the run began with", HelpName = "NAME", DefaultValueFactory = _ => "" };

    public static Command Build()
    {
        Command command = Own();
        foreach (Command keeping in CheckpointKeepingCommands.Build())
            command.Subcommands.Add(keeping);
        return command;
    }

    private static Command Own() => new("checkpoint", "List, verify, export, compare and keep checkpoints.")
    {
        new Command("list", """
            List published checkpoints.

            Example:
              drover checkpoint list --run my-run
            """) { Run }.Does(ListAsync),
        new Command("verify", """
            Read every byte of a checkpoint again and compare the digests. Ends with 1 when it is damaged.

            Example:
              drover checkpoint verify runs/my-run/checkpoints/step-00000100
            """) { Checkpoint }.Does(async (context, parse) =>
            {
                var request = new VerifyCheckpointRequest { Name = parse.GetValue(Checkpoint) };
                VerifyCheckpointResponse answer = await context.Checkpoint.VerifyCheckpointAsync(request, cancellationToken: context.Cancellation).ConfigureAwait(false);
                context.Write(answer, () => answer.Intact ? $"{request.Name} is intact" : string.Join('\n', answer.Problems));
                return answer.Intact ? ExitCodes.Ok : ExitCodes.Failed;
            }),
        new Command("export", """
            Render a checkpoint as a Hugging Face model, adapters merged, or as a PEFT adapter.

            Example:
              drover checkpoint export my-model --checkpoint runs/my-run/checkpoints/step-00000100 --tokenizer tokenizers/my-tokenizer
              drover checkpoint export my-adapter --form adapter --checkpoint runs/my-run/checkpoints/step-00000100 --tokenizer tokenizers/my-tokenizer
            """) { Name, From, Tokenizer, Form, AdapterBase, DataType, MaxShard, KeepPadding, JobStart.Detach }.Does(ExportAsync),
    };

    private static async Task<int> ListAsync(CliContext context, ParseResult parse)
    {
        Table table = new Table().Border(TableBorder.Rounded).AddColumns("checkpoint", "step", "loss", "held out", "tokens", "size");
        string page = "";
        do
        {
            ListCheckpointsResponse answer = await context.Checkpoint.ListCheckpointsAsync(new ListCheckpointsRequest { Run = parse.GetValue(Run), PageToken = page }, cancellationToken: context.Cancellation).ConfigureAwait(false);
            foreach (Checkpoint checkpoint in answer.Checkpoints)
            {
                if (context.Json)
                    context.WriteJson(checkpoint);
                else
                    table.AddRow(NameOf(checkpoint).EscapeMarkup(), checkpoint.Step.ToString(CultureInfo.InvariantCulture), Text.Loss(checkpoint.Loss), HeldOut(checkpoint), Text.Count(checkpoint.TokensSeen), Text.Bytes(checkpoint.SizeBytes));
            }

            page = answer.NextPageToken;
        }
        while (page.Length > 0);
        if (!context.Json)
            context.Terminal.Write(table);
        return ExitCodes.Ok;
    }

    private static string HeldOut(Checkpoint checkpoint) =>
        (checkpoint.HasHeldOutLoss ? Text.Loss(checkpoint.HeldOutLoss) : "") + (checkpoint.IsBest ? " best" : "");

    private static string NameOf(Checkpoint checkpoint) =>
        checkpoint.Name + (checkpoint.Tags.Count > 0 ? $" ({string.Join(", ", checkpoint.Tags)})" : "");

    private static async Task<int> ExportAsync(CliContext context, ParseResult parse)
    {
        var spec = new ExportSpec
        {
            Name = parse.GetValue(Name),
            Checkpoint = parse.GetValue(From),
            Tokenizer = await new InputUploader(context).ResolveAsync(parse.GetValue(Tokenizer)!).ConfigureAwait(false),
            DataType = parse.GetValue(DataType),
            Form = parse.GetValue(Form),
            AdapterBase = parse.GetValue(AdapterBase),
            MaxShardBytes = parse.GetValue(MaxShard),
            KeepPadding = parse.GetValue(KeepPadding),
        };
        var request = new CreateExportRequest { RequestId = JobStart.NewRequestId(), Spec = spec };
        Export export = (await context.Checkpoint.CreateExportAsync(request, cancellationToken: context.Cancellation).ConfigureAwait(false)).Export;
        return await JobStart.FollowAsync(context, parse, new JobSources(context).Exports, export.Job, export, done => $"{done.Result.Name}: {done.Result.Files.Count} files, {Text.Bytes(done.Result.SizeBytes)}").ConfigureAwait(false);
    }
}
