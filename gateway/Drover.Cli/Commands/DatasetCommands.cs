using System.CommandLine;
using System.Globalization;
using Drover.Cli.Inputs;
using Drover.Cli.Jobs;
using Drover.Protocol.DataPrep.V1;
using Spectre.Console;

namespace Drover.Cli.Commands;

/// <summary><c>drover dataset</c>.</summary>
internal static class DatasetCommands
{
    private static readonly Argument<string> Name = new("NAME") { Description = "Name of the dataset: written to datasets/NAME" };
    private static readonly Argument<string> Reference = new("DATASET") { Description = "The dataset, e.g. datasets/my-data (\"datasets/\" may be left out)" };
    private static readonly Option<string> Tokenizer = new("--tokenizer") { Description = "A folder of this machine, or a reference", Required = true, HelpName = "TOKENIZER" };
    private static readonly Option<string[]> Sources = new("--source") { Description = "File or folder of .jsonl, .json, .txt (also .gz, .zst) or .parquet; may be given again", Required = true, HelpName = "PATH" };
    private static readonly Option<int> MaxLength = new("--max-length") { Description = "Tokens in a row", DefaultValueFactory = _ => 2048 };
    private static readonly Option<DatasetFormat> Format = EnumOption.Of("--format", "What the lines are", ("pretrain", DatasetFormat.Pretrain), ("sft", DatasetFormat.Sft));

    public static Command Build() => new("dataset", "Build packed datasets from text, documents and conversations.")
    {
        BuildCommand(),
        new Command("show", """
            Show the counts of a finished dataset.

            Example:
              drover dataset show datasets/my-data
            """) { Reference }.Does(async (context, parse) =>
            {
                var request = new GetDatasetRequest { Dataset = DatasetReference.Of(parse.GetValue(Reference)!) };
                Dataset dataset = (await context.DataPrep.GetDatasetAsync(request, cancellationToken: context.Cancellation).ConfigureAwait(false)).Dataset;
                context.Write(dataset, () => Describe(dataset));
                return ExitCodes.Ok;
            }),
        new Command("workers", """
            List the workers of data preparation and what each does now.

            Example:
              drover dataset workers
            """).Does(WorkersAsync),
        DatasetInspectCommand.Build(Reference),
        DatasetStatisticsCommand.Build(Reference),
    };

    private static async Task<int> WorkersAsync(CliContext context, ParseResult parse)
    {
        ListWorkersResponse answer = await context.DataPrep.ListWorkersAsync(new ListWorkersRequest(), cancellationToken: context.Cancellation).ConfigureAwait(false);
        if (context.Json)
        {
            context.WriteJson(answer);
            return ExitCodes.Ok;
        }

        Table table = new Table().Border(TableBorder.Rounded).AddColumns("worker", "dataset", "task", "done", "heard of");
        foreach (Worker worker in answer.Workers)
        {
            bool works = worker.Dataset.Length > 0;
            table.AddRow(worker.Name.EscapeMarkup(), works ? worker.Dataset.EscapeMarkup() : "waits", works ? $"{worker.Task + 1} of {worker.Tasks}" : "", works ? $"{Text.Bytes(worker.DoneBytes)} of {Text.Bytes(worker.TotalBytes)}" : "", $"{worker.LastSeenTime.ToDateTime().ToLocalTime():HH:mm:ss}");
        }

        context.Terminal.Write(table);
        return ExitCodes.Ok;
    }

    private static Command BuildCommand()
    {
        var command = new Command("build", """
            Tokenize and pack documents or conversations into rows. What cannot be used is kept aside with its reason and counted.
            The same command again goes on where it was stopped, and does nothing once the dataset is there.

            Example:
              drover dataset build my-data --tokenizer ./llama --source corpus.jsonl --format pretrain --max-length 1024
              drover dataset build talks --tokenizer ./llama --source talks/ --format sft --template chatml --drop-duplicates
            """) { Name, Tokenizer, Sources, Format, MaxLength, JobStart.Detach };
        foreach (Option option in DatasetBuildOptions.All)
            command.Options.Add(option);
        return command.Does(BuildAsync);
    }

    private static async Task<int> BuildAsync(CliContext context, ParseResult parse)
    {
        var inputs = new InputUploader(context);
        var spec = new DatasetSpec
        {
            Name = parse.GetValue(Name),
            Tokenizer = await inputs.ResolveAsync(parse.GetValue(Tokenizer)!).ConfigureAwait(false),
            Format = parse.GetValue(Format) is DatasetFormat.Unspecified ? DatasetFormat.Pretrain : parse.GetValue(Format),
            MaxLength = parse.GetValue(MaxLength),
        };
        DatasetBuildOptions.Fill(spec, parse);
        spec.Sources.Add(await inputs.ResolveAllAsync(parse.GetValue(Sources)!).ConfigureAwait(false));
        var request = new CreateDatasetBuildRequest { RequestId = JobStart.NewRequestId(), Spec = spec };
        DatasetBuild build = (await context.DataPrep.CreateDatasetBuildAsync(request, cancellationToken: context.Cancellation).ConfigureAwait(false)).Build;
        return await JobStart.FollowAsync(context, parse, new JobSources(context).Datasets, build.Job, build, done => Describe(done.Result)).ConfigureAwait(false);
    }

    private static string Describe(Dataset dataset)
    {
        string text = string.Create(CultureInfo.InvariantCulture, $"{dataset.Dataset_}: {dataset.Rows} rows, {dataset.Fill:P1} full, {dataset.Documents} documents, {dataset.TokensIn} tokens in = {dataset.TokensInRows} in rows + {dataset.TokensRejected} rejected");
        string reasons = string.Join(", ", dataset.RejectsByReason.OrderByDescending(r => r.Value.Entries).Select(r => string.Create(CultureInfo.InvariantCulture, $"{r.Key} {r.Value.Entries}")));
        return dataset.Rejects.Length == 0 ? text : $"{text}; {dataset.LinesRejected} of {dataset.LinesIn} records rejected ({reasons}), see {dataset.Rejects}";
    }
}
