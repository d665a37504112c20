using System.CommandLine;
using Drover.Cli.Inputs;
using Drover.Cli.Jobs;
using Drover.Cli.Launch;
using Drover.Cli.Pipelines;
using Drover.Protocol.Trainer.V1;

namespace Drover.Cli.Commands;

/// <summary>Commands of <c>drover train</c> that take a run from a YAML file: plan, submit, render.</summary>
internal static class TrainFileCommands
{
    private const string ConfigFile = "config.json";
    private static readonly Argument<string> Spec = new("SPEC") { Description = "A YAML file with the fields of a train step (TrainingSpec): name, base_model, dataset, ranks, parallelism, ..." };
    private static readonly Option<int> RowTokens = new("--row-tokens") { Description = "Tokens of a row, where the spec names no dataset yet", HelpName = "TOKENS" };
    private static readonly Option<bool> MemoryOnly = new("--memory-only") { Description = "Measure nothing: memory and layout, at once" };
    private static readonly Option<bool> Propose = new("--propose") { Description = "Look for faster ways to spread the run over the same ranks that fit: a few are measured" };
    private static readonly Option<bool> Slurm = new("--slurm") { Description = "A script for sbatch" };
    private static readonly Option<int> Nodes = new("--nodes") { Description = "Machines to ask for", DefaultValueFactory = _ => 1 };
    private static readonly Option<string> Time = new("--time") { Description = "Longest time, as Slurm writes it; checkpoints make a later start go on", HelpName = "TIME", DefaultValueFactory = _ => "24:00:00" };
    private static readonly Option<string?> Partition = new("--partition") { Description = "Slurm's partition", HelpName = "NAME" };
    private static readonly Option<string> DataFolder = new("--data-folder") { Description = "A folder that every node sees under this path", HelpName = "PATH", Required = true };

    public static IEnumerable<Command> Build() =>
    [
        new Command("plan", """
            Show what would lie where: the grid of ranks, the blocks of each, how weights are cut, memory by class, and whether it fits.
            Then a small model is measured under the same layout for some seconds, and the speed of the run predicted from it.
            Starts nothing. A model's local folder gives its config.json only; no dataset is needed with --row-tokens.
            Ends with 1 when the run does not fit.

            Example:
              drover train plan run.yaml
              drover train plan run.yaml --propose
              drover train plan run.yaml --row-tokens 2048 --memory-only --json
            """) { Spec, RowTokens, MemoryOnly, Propose }.Does(PlanAsync),
        new Command("submit", """
            Start the training run of a file and watch it.

            Example:
              drover train submit run.yaml
            """) { Spec, JobStart.Priority, JobStart.Detach }.Does(SubmitAsync),
        new Command("render", """
            Write a script that trains the run of a file on a cluster. It starts Drover in the allocation, whose ranks mpirun spreads over its
            nodes, and ends with the run. Submitted again, it goes on from the last checkpoint.

            Example:
              drover train render run.yaml --slurm --nodes 2 --data-folder /shared/drover > run.sbatch && sbatch run.sbatch
            """) { Spec, Slurm, Nodes, Time, Partition, DataFolder }.Does(Render),
    ];

    private static async Task<int> PlanAsync(CliContext context, ParseResult parse)
    {
        (TrainingSpec spec, string folder) = Read(parse);
        var inputs = new InputUploader(context);
        // Gigabytes of weights are not uploaded for their shapes.
        if (spec.InitialCase == TrainingSpec.InitialOneofCase.BaseModel && Path.Combine(folder, spec.BaseModel, ConfigFile) is var config && File.Exists(config))
            spec.FromScratch = new FromScratch { Config = config };
        await ResolveStartAsync(spec, inputs, folder).ConfigureAwait(false);
        var request = new PlanTrainingRequest { Spec = spec, RowTokens = parse.GetValue(RowTokens), Measure = !parse.GetValue(MemoryOnly), Propose = parse.GetValue(Propose) };
        TrainingPlan plan = (await context.Trainer.PlanTrainingAsync(request, cancellationToken: context.Cancellation).ConfigureAwait(false)).Plan;
        PlanTables.Write(context, plan);
        return plan.Memory is { Fits: false } ? ExitCodes.Failed : ExitCodes.Ok;
    }

    private static async Task<int> SubmitAsync(CliContext context, ParseResult parse)
    {
        (TrainingSpec spec, string folder) = Read(parse);
        var inputs = new InputUploader(context);
        await ResolveStartAsync(spec, inputs, folder).ConfigureAwait(false);
        if (spec.Tokenizer.Length > 0)
            spec.Tokenizer = await inputs.ResolveAsync(spec.Tokenizer, folder).ConfigureAwait(false);
        var request = new CreateTrainingJobRequest { RequestId = JobStart.NewRequestId(), Spec = spec };
        TrainingJob job = (await context.Trainer.CreateTrainingJobAsync(request, JobStart.Headers(parse), cancellationToken: context.Cancellation).ConfigureAwait(false)).Job;
        return await JobStart.FollowAsync(context, parse, new JobSources(context).Trainings, job.Job, job, TrainStartCommand.Describe).ConfigureAwait(false);
    }

    private static Task<int> Render(CliContext context, ParseResult parse)
    {
        if (!parse.GetValue(Slurm))
            throw new Errors.DroverException(Errors.FailureCode.InvalidArgument, "NOTHING_TO_RENDER", "Say for what: --slurm. For Kubernetes there are manifests in deploy/kubernetes.");
        (TrainingSpec spec, _) = Read(parse);
        var options = new SlurmOptions(parse.GetValue(Nodes), parse.GetValue(Time)!, parse.GetValue(Partition), parse.GetValue(DataFolder)!);
        context.Output.Write(SlurmScript.Of(spec, Path.GetFullPath(parse.GetValue(Spec)!), options));
        return Task.FromResult(ExitCodes.Ok);
    }

    private static (TrainingSpec Spec, string Folder) Read(ParseResult parse)
    {
        string path = parse.GetValue(Spec)!;
        return (YamlFile.Read<TrainingSpec>(path, "the run"), Path.GetDirectoryName(Path.GetFullPath(path))!);
    }

    private static async Task ResolveStartAsync(TrainingSpec spec, InputUploader inputs, string folder)
    {
        if (spec.Lora is { Adapter.Length: > 0 } lora)
            lora.Adapter = await inputs.ResolveAsync(lora.Adapter, folder).ConfigureAwait(false);
        if (spec.InitialCase == TrainingSpec.InitialOneofCase.BaseModel)
            spec.BaseModel = await inputs.ResolveAsync(spec.BaseModel, folder).ConfigureAwait(false);
        else if (spec.InitialCase == TrainingSpec.InitialOneofCase.FromScratch)
            spec.FromScratch.Config = await inputs.ResolveAsync(spec.FromScratch.Config, folder).ConfigureAwait(false);
    }
}
