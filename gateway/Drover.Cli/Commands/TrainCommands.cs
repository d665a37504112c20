using System.CommandLine;
using System.Globalization;
using Drover.Cli.Inputs;
using Drover.Cli.Jobs;
using Drover.Protocol.Trainer.V1;

namespace Drover.Cli.Commands;

/// <summary><c>drover train</c>.</summary>
internal static class TrainCommands
{
    private static readonly Argument<string> Job = new("JOB") { Description = "The job's name, e.g. jobs/training-1a2b3c" };
    private static readonly Argument<string> Model = new("MODEL") { Description = "A Hugging Face folder of this machine, or a reference such as models/my-model" };
    private static readonly Option<string> Dataset = new("--dataset") { Description = "E.g. datasets/my-data", Required = true, HelpName = "DATASET" };
    private static readonly Option<int> MicroBatch = new("--micro-batch") { Description = "Rows of one forward pass on one rank", DefaultValueFactory = _ => 1 };
    private static readonly Option<Precision> PrecisionOption = EnumOption.Of("--precision", "Type of the weights in compute", ("bf16", Precision.Bf16), ("fp32", Precision.Fp32), ("fp16", Precision.Fp16));
    private static readonly Option<int> ProfileSteps = new("--steps") { Description = "How many; 0 means 2" };

    public static Command Build()
    {
        Command command = Own();
        foreach (Command other in TrainFileCommands.Build())
            command.Subcommands.Add(other);
        return command;
    }

    private static Command Own() => new("train", "Train and evaluate models.")
    {
        TrainStartCommand.Build(),
        new Command("watch", """
            Watch a training run until it ends.

            Example:
              drover train watch jobs/training-1a2b3c
            """) { Job }.Does(async (context, parse) =>
            {
                (JobSource source, JobView view) = await new JobSources(context).FindAsync(parse.GetValue(Job)!).ConfigureAwait(false);
                return await new JobWatch(context, source, view.Job.Name).RunAsync().ConfigureAwait(false);
            }),
        new Command("cancel", """
            Stop a training run after its step; it leaves a checkpoint.

            Example:
              drover train cancel jobs/training-1a2b3c
            """) { Job }.Does((context, parse) => JobsCommands.CancelAsync(context, parse.GetValue(Job)!)),
        new Command("save", """
            Save a checkpoint of a training run that is under way, after the running step.

            Example:
              drover train save jobs/training-1a2b3c
            """) { Job }.Does(async (context, parse) =>
            {
                (_, JobView view) = await new JobSources(context).FindAsync(parse.GetValue(Job)!).ConfigureAwait(false);
                SaveTrainingJobResponse answer = await context.Trainer.SaveTrainingJobAsync(new SaveTrainingJobRequest { Name = view.Job.Name }, cancellationToken: context.Cancellation).ConfigureAwait(false);
                context.Write(answer, () => $"Asked for after step {answer.Step}; 'drover train watch {view.Job.Name}' tells when it is published.");
                return ExitCodes.Ok;
            }),
        new Command("profile", """
            Profile the next steps of a training run that is under way: time by block and by border action, as a table and as a chrome trace.

            Example:
              drover train profile jobs/training-1a2b3c --steps 3
            """) { Job, ProfileSteps }.Does(ProfileAsync),
        new Command("evaluate", """
            Measure the loss of a model on a dataset.

            Example:
              drover train evaluate models/my-model --dataset datasets/held-out
            """) { Model, Dataset, MicroBatch, PrecisionOption, JobStart.Detach }.Does(EvaluateAsync),
    };

    private static async Task<int> ProfileAsync(CliContext context, ParseResult parse)
    {
        (_, JobView view) = await new JobSources(context).FindAsync(parse.GetValue(Job)!).ConfigureAwait(false);
        var request = new ProfileTrainingJobRequest { Name = view.Job.Name, Steps = parse.GetValue(ProfileSteps) };
        ProfileTrainingJobResponse answer = await context.Trainer.ProfileTrainingJobAsync(request, cancellationToken: context.Cancellation).ConfigureAwait(false);
        context.Write(answer, () => $"Asked for. The profile will lie in {answer.Profiles}; the job's log tells when ('drover train watch {view.Job.Name}').");
        return ExitCodes.Ok;
    }

    private static async Task<int> EvaluateAsync(CliContext context, ParseResult parse)
    {
        var spec = new EvaluationSpec
        {
            Model = await ModelAsync(context, parse).ConfigureAwait(false),
            Dataset = parse.GetValue(Dataset),
            MicroBatchRows = parse.GetValue(MicroBatch),
            Precision = parse.GetValue(PrecisionOption),
        };
        var request = new CreateEvaluationRequest { RequestId = JobStart.NewRequestId(), Spec = spec };
        Evaluation evaluation = (await context.Trainer.CreateEvaluationAsync(request, cancellationToken: context.Cancellation).ConfigureAwait(false)).Evaluation;
        return await JobStart.FollowAsync(context, parse, new JobSources(context).Evaluations, evaluation.Job, evaluation, Describe).ConfigureAwait(false);
    }

    private static string Describe(Evaluation evaluation)
    {
        EvaluationResult result = evaluation.Result;
        return string.Create(CultureInfo.InvariantCulture, $"loss {result.Loss:0.0000}, perplexity {result.Perplexity:0.00}, {result.BitsPerByte:0.0000} bits per byte, {result.LabelTokens} tokens");
    }

    // A bare name is a model of the store, unless there is such a folder here.
    private static async Task<string> ModelAsync(CliContext context, ParseResult parse)
    {
        string reference = await new InputUploader(context).ResolveAsync(parse.GetValue(Model)!).ConfigureAwait(false);
        return reference.Contains('/') ? reference : "models/" + reference;
    }
}
