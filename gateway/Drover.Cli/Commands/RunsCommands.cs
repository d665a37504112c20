using System.CommandLine;
using System.Globalization;
using Drover.Protocol.Checkpoint.V1;
using Spectre.Console;

namespace Drover.Cli.Commands;

/// <summary><c>drover runs</c> and <c>drover lineage</c>.</summary>
internal static class RunsCommands
{
    private static readonly Argument<string> Run = new("RUN") { Description = "The run, e.g. my-run" };
    private static readonly Argument<string> Name = new("NAME") { Description = "models/NAME, runs/RUN, runs/RUN/checkpoints/..., or datasets/NAME" };

    public static Command Build() => new("runs", "Training runs in the object store: what they take, and removing them.")
    {
        new Command("list", """
            List runs with the number and size of their checkpoints.

            Example:
              drover runs list
            """).Does(ListAsync),
        new Command("delete", """
            Remove a run with all its checkpoints, metrics and profiles; refused while other runs began from it.

            Example:
              drover runs delete my-run --dry-run
            """) { Run, CheckpointKeepingCommands.DryRun }.Does(async (context, parse) =>
            {
                var request = new DeleteRunRequest { Run = parse.GetValue(Run), DryRun = parse.GetValue(CheckpointKeepingCommands.DryRun) };
                DeleteRunResponse answer = await context.Checkpoint.DeleteRunAsync(request, cancellationToken: context.Cancellation).ConfigureAwait(false);
                return RemovalText.Write(context, answer, answer.Removal, request.DryRun);
            }),
    };

    public static Command Lineage() => new Command("lineage", """
        Where a model, checkpoint or dataset comes from: each with its content hash, and whether it is still what it was.

        Example:
          drover lineage models/my-model
        """) { Name }.Does(async (context, parse) =>
        {
            GetLineageResponse answer = await context.Checkpoint.GetLineageAsync(new GetLineageRequest { Name = parse.GetValue(Name) }, cancellationToken: context.Cancellation).ConfigureAwait(false);
            context.Write(answer, () => Tree(answer, answer.Entries[0].Name, 0, []));
            return ExitCodes.Ok;
        });

    private static async Task<int> ListAsync(CliContext context, ParseResult parse)
    {
        Table table = new Table().Border(TableBorder.Rounded).AddColumns("run", "checkpoints", "latest step", "size", "garbage", "kept");
        string page = "";
        do
        {
            ListRunsResponse answer = await context.Checkpoint.ListRunsAsync(new ListRunsRequest { PageToken = page }, cancellationToken: context.Cancellation).ConfigureAwait(false);
            foreach (Run run in answer.Runs)
            {
                if (context.Json)
                    context.WriteJson(run);
                else
                    table.AddRow(run.Name.EscapeMarkup(), run.CheckpointCount.ToString(CultureInfo.InvariantCulture), run.LatestStep.ToString(CultureInfo.InvariantCulture), Text.Bytes(run.CheckpointBytes), Text.Bytes(run.GarbageBytes), Kept(run));
            }

            page = answer.NextPageToken;
        }
        while (page.Length > 0);
        if (!context.Json)
            context.Terminal.Write(table);
        return ExitCodes.Ok;
    }

    private static string Kept(Run run) => run.Retention is not { KeepLast: > 0 } rules ? "all" : $"last {rules.KeepLast}{(rules.KeepEverySteps > 0 ? $", every {rules.KeepEverySteps}" : "")}";

    // A thing that is reached twice is told once.
    private static string Tree(GetLineageResponse answer, string name, int depth, HashSet<string> told)
    {
        LineageEntry entry = answer.Entries.First(e => e.Name == name);
        string state = entry.State switch
        {
            LineageState.Missing => " (gone)",
            LineageState.Changed => " (CHANGED since)",
            _ => "",
        };
        string hash = entry.Hash.Length > 0 ? $"  {entry.Hash[..Math.Min(12, entry.Hash.Length)]}" : "";
        string line = $"{new string(' ', 2 * depth)}{entry.Name}{hash}{state}{(entry.Detail.Length > 0 ? $"  {entry.Detail}" : "")}";
        return told.Add(name) ? string.Join('\n', [line, .. entry.From.Where(f => answer.Entries.Any(e => e.Name == f)).Select(f => Tree(answer, f, depth + 1, told))]) : line;
    }
}
