using System.CommandLine;
using System.Globalization;
using Drover.Cli.Inputs;
using Drover.Cli.Jobs;
using Drover.Cli.Pipelines;
using Drover.Protocol.Gateway.V1;
using Spectre.Console;

namespace Drover.Cli.Commands;

/// <summary><c>drover run</c>.</summary>
internal static class RunCommand
{
    private static readonly Argument<string> File = new("PIPELINE") { Description = "The pipeline's YAML file" };
    private static readonly Option<bool> Detach = new("--detach") { Description = "Print the job's name and do not watch it" };
    private static readonly Option<bool> DryRun = new("--dry-run") { Description = "Check everything and start nothing" };
    private static readonly Option<string> RequestId = new("--request-id") { Description = "The same id twice is one job: safe to repeat after a broken connection", DefaultValueFactory = _ => "" };

    public static Command Build() => new Command("run", """
        Run a pipeline and watch it. Inputs that are files or folders beside the YAML file are uploaded first.
        Ctrl-C stops watching; the pipeline goes on.

        A pipeline:
          name: my-model
          inputs:
            base: ./llama                  # a Hugging Face folder
            corpus: ./corpus.jsonl
          steps:
            - name: prepare
              prepare: {tokenizer: "${inputs.base}", sources: ["${inputs.corpus}"], format: pretrain, max_length: 512}
            - name: train
              train: {base_model: "${inputs.base}", tokenizer: "${inputs.base}", dataset: "${steps.prepare.dataset}",
                      steps: 100, global_batch_rows: 8, micro_batch_rows: 4, ranks: 2}
            - name: export
              export: {checkpoint: "${steps.train.checkpoint}", tokenizer: "${inputs.base}"}

        Example:
          drover run pipeline.yaml
        """) { File, JobStart.Priority, Detach, DryRun, RequestId }.Does(RunAsync);

    private static async Task<int> RunAsync(CliContext context, ParseResult parse)
    {
        string path = parse.GetValue(File)!;
        PipelineSpec spec = PipelineFile.Read(path);
        var uploader = new InputUploader(context);
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        foreach (string input in spec.Inputs.Keys.ToList())
            spec.Inputs[input] = await uploader.ResolveAsync(spec.Inputs[input], folder).ConfigureAwait(false);

        var request = new CreatePipelineRequest { RequestId = parse.GetValue(RequestId)!, Spec = spec, DryRun = parse.GetValue(DryRun) };
        if (request.RequestId.Length == 0)
            request.RequestId = Guid.NewGuid().ToString();
        Pipeline pipeline = (await context.Gateway.CreatePipelineAsync(request, JobStart.Headers(parse), cancellationToken: context.Cancellation).ConfigureAwait(false)).Pipeline;
        if (request.DryRun)
        {
            context.Write(pipeline, () => $"{path}: {spec.Steps.Count} steps, nothing wrong");
            return ExitCodes.Ok;
        }

        context.Write(pipeline, () => pipeline.Job.Name);
        if (parse.GetValue(Detach))
            return ExitCodes.Ok;
        int code = await new JobWatch(context, new JobSources(context).Pipelines, pipeline.Job.Name).RunAsync().ConfigureAwait(false);
        if (!context.Json && code != ExitCodes.Cancelled)
            await SummarizeAsync(context, pipeline.Job.Name).ConfigureAwait(false);
        return code;
    }

    private static async Task SummarizeAsync(CliContext context, string name)
    {
        Pipeline pipeline = (await context.Gateway.GetPipelineAsync(new GetPipelineRequest { Name = name }, cancellationToken: context.Cancellation).ConfigureAwait(false)).Pipeline;
        Table table = new Table().Border(TableBorder.Rounded).AddColumns("step", "state", "outputs");
        foreach (StepStatus step in pipeline.Steps)
            table.AddRow(step.Name.EscapeMarkup(), step.State.ToString().ToLowerInvariant(), string.Join('\n', step.Outputs.Select(o => $"{o.Key}: {Shown(o.Value)}")).EscapeMarkup());
        context.Terminal.Write(table);
    }

    // Outputs are texts; a number among them has all the digits that another step may want.
    private static string Shown(string value) => double.TryParse(value, CultureInfo.InvariantCulture, out double number) ? Text.Loss(number) : value;
}
