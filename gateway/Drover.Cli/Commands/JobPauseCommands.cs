using System.CommandLine;
using Drover.Errors;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Gateway.V1;
using Drover.Protocol.Trainer.V1;

namespace Drover.Cli.Commands;

/// <summary><c>drover jobs pause</c>, <c>resume</c> and <c>save</c>: of pipelines, and of trainings that belong to none.</summary>
internal static class JobPauseCommands
{
    private static readonly Argument<string> Name = new("JOB") { Description = "A pipeline or a training, e.g. jobs/pipeline-1a2b3c (\"jobs/\" may be left out)" };

    public static IEnumerable<Command> Build() =>
    [
        new Command("pause", """
            Stop a training after its step, with a checkpoint, until it is resumed; its cores and memory are free meanwhile. Of a pipeline, a step
            that is no training comes to its own end, and no other begins.

            Example:
              drover jobs pause jobs/pipeline-1a2b3c
            """) { Name }.Does(async (context, parse) =>
            {
                string job = JobOf(parse);
                Job paused = IsPipeline(job)
                    ? (await context.Gateway.PausePipelineAsync(new PausePipelineRequest { Name = job }, cancellationToken: context.Cancellation).ConfigureAwait(false)).Pipeline.Job
                    : (await context.Trainer.PauseTrainingJobAsync(new PauseTrainingJobRequest { Name = job }, cancellationToken: context.Cancellation).ConfigureAwait(false)).Job.Job;
                return Show(context, paused);
            }),
        new Command("resume", """
            Let a paused pipeline or training go on from its checkpoint.

            Example:
              drover jobs resume jobs/pipeline-1a2b3c
            """) { Name }.Does(async (context, parse) =>
            {
                string job = JobOf(parse);
                Job resumed = IsPipeline(job)
                    ? (await context.Gateway.ResumePipelineAsync(new ResumePipelineRequest { Name = job }, cancellationToken: context.Cancellation).ConfigureAwait(false)).Pipeline.Job
                    : (await context.Trainer.ResumeTrainingJobAsync(new ResumeTrainingJobRequest { Name = job }, cancellationToken: context.Cancellation).ConfigureAwait(false)).Job.Job;
                return Show(context, resumed);
            }),
        new Command("save", """
            Save a checkpoint of the training that runs now, after its step.

            Example:
              drover jobs save jobs/pipeline-1a2b3c
            """) { Name }.Does(async (context, parse) =>
            {
                string job = JobOf(parse);
                SavePipelineResponse answer = IsPipeline(job)
                    ? await context.Gateway.SavePipelineAsync(new SavePipelineRequest { Name = job }, cancellationToken: context.Cancellation).ConfigureAwait(false)
                    : new SavePipelineResponse { Job = job, Step = (await context.Trainer.SaveTrainingJobAsync(new SaveTrainingJobRequest { Name = job }, cancellationToken: context.Cancellation).ConfigureAwait(false)).Step };
                context.Write(answer, () => $"{answer.Job} was asked to save after step {answer.Step}; 'drover jobs watch {job}' tells when the checkpoint is published.");
                return ExitCodes.Ok;
            }),
    ];

    private static int Show(CliContext context, Job job)
    {
        context.Write(job, () => $"{job.Name} {job.State.ToString().ToLowerInvariant()}");
        return ExitCodes.Ok;
    }

    private static string JobOf(ParseResult parse)
    {
        string given = parse.GetValue(Name)!;
        string job = given.StartsWith("jobs/", StringComparison.Ordinal) ? given : "jobs/" + given;
        return IsPipeline(job) || job.StartsWith("jobs/training-", StringComparison.Ordinal)
            ? job
            : throw new DroverException(FailureCode.InvalidArgument, "NOT_PAUSABLE", $"'{job}' is neither a pipeline nor a training; those can be paused and saved.");
    }

    private static bool IsPipeline(string job) => job.StartsWith("jobs/pipeline-", StringComparison.Ordinal);
}
