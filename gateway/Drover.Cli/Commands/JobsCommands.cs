using System.CommandLine;
using Drover.Cli.Jobs;
using Drover.Client;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Gateway.V1;
using Google.Protobuf;
using Grpc.Core;
using Spectre.Console;

namespace Drover.Cli.Commands;

/// <summary><c>drover jobs</c>: pipelines and the jobs of all services.</summary>
internal static class JobsCommands
{
    private static readonly Argument<string> Name = new("JOB") { Description = "The job's name, e.g. jobs/pipeline-1a2b3c (\"jobs/\" may be left out)" };
    private static readonly Option<bool> All = new("--all") { Description = "The jobs of the services too, not only pipelines" };
    private static readonly Option<int> Count = new("--count") { Description = "How many of each, newest first", DefaultValueFactory = _ => 20 };
    private static readonly Option<long> From = new("--from") { Description = "Show only events after this revision" };

    private static readonly Option<string> Step = new("--step") { Description = "Begin at this step. Default: the first that did not succeed", DefaultValueFactory = _ => "" };
    private static readonly Option<bool> Detach = new("--detach") { Description = "Print the new job's name and do not watch it" };

    private static readonly Option<JobState> State = EnumOption.Of<JobState>(
        "--state", "Only jobs in this state", ("queued", JobState.Queued), ("running", JobState.Running), ("succeeded", JobState.Succeeded), ("failed", JobState.Failed), ("pausing", JobState.Pausing), ("paused", JobState.Paused), ("cancelling", JobState.Cancelling), ("cancelled", JobState.Cancelled));

    public static Command Build()
    {
        Command command = Own();
        foreach (Command other in JobPauseCommands.Build())
            command.Subcommands.Add(other);
        return command;
    }

    private static Command Own() => new("jobs", "List, watch, pause and cancel jobs. Jobs survive a restart of the gateway and of the services.")
    {
        new Command("list", """
            List pipelines, newest first.

            Example:
              drover jobs list --all
            """) { All, Count, State }.Does(ListAsync),
        new Command("show", """
            Print a job with its spec and result as JSON.

            Example:
              drover jobs show jobs/pipeline-1a2b3c
            """) { Name }.Does(ShowAsync),
        new Command("watch", """
            Watch a job until it ends. Ctrl-C leaves the job running.

            Example:
              drover jobs watch jobs/training-1a2b3c --json
            """) { Name, From }.Does(async (context, parse) =>
            {
                (JobSource source, JobView view) = await new JobSources(context).FindAsync(parse.GetValue(Name)!).ConfigureAwait(false);
                return await new JobWatch(context, source, view.Job.Name).RunAsync(parse.GetValue(From)).ConfigureAwait(false);
            }),
        new Command("cancel", """
            Ask a job to stop. A training run stops after its step and leaves a checkpoint.

            Example:
              drover jobs cancel jobs/pipeline-1a2b3c
            """) { Name }.Does(CancelAsync),
        new Command("retry", """
            Start a pipeline that ended again, as a new one: finished steps are taken over, a broken training goes on from its last checkpoint.

            Examples:
              drover jobs retry jobs/pipeline-1a2b3c
              drover jobs retry jobs/pipeline-1a2b3c --step training
            """) { Name, Step, JobStart.Priority, Detach }.Does(RetryAsync),
    };

    /// <summary>Cancels a job and prints how it stands.</summary>
    public static async Task<int> CancelAsync(CliContext context, string name)
    {
        (JobSource source, JobView view) = await new JobSources(context).FindAsync(name).ConfigureAwait(false);
        await source.CancelAsync(view.Job.Name).ConfigureAwait(false);
        view = await source.GetAsync(view.Job.Name).ConfigureAwait(false);
        context.Write(view.Resource, () => $"{view.Job.Name} {StateOf(view.Job)}");
        return ExitCodes.Ok;
    }

    private static Task<int> CancelAsync(CliContext context, ParseResult parse) => CancelAsync(context, parse.GetValue(Name)!);

    private static async Task<int> RetryAsync(CliContext context, ParseResult parse)
    {
        string given = parse.GetValue(Name)!;
        var request = new RetryPipelineRequest { RequestId = Guid.NewGuid().ToString(), Name = given.StartsWith("jobs/", StringComparison.Ordinal) ? given : "jobs/" + given, FromStep = parse.GetValue(Step)! };
        Pipeline pipeline = (await context.Gateway.RetryPipelineAsync(request, JobStart.Headers(parse), cancellationToken: context.Cancellation).ConfigureAwait(false)).Pipeline;
        context.Write(pipeline, () => pipeline.Job.Name);
        return parse.GetValue(Detach) ? ExitCodes.Ok : await new JobWatch(context, new JobSources(context).Pipelines, pipeline.Job.Name).RunAsync().ConfigureAwait(false);
    }

    private static async Task<int> ListAsync(CliContext context, ParseResult parse)
    {
        JobState state = parse.GetValue(State);
        var sources = new JobSources(context);
        var jobs = new List<Job>();
        foreach (JobSource source in parse.GetValue(All) ? sources.All : [sources.Pipelines])
        {
            if (source.ListAsync is null)
                continue;
            try
            {
                jobs.AddRange(await source.ListAsync(parse.GetValue(Count)).ConfigureAwait(false));
            }
            catch (RpcException e) when (e.IsAnswer() && e.StatusCode == StatusCode.Unavailable)
            {
                await context.Error.WriteLineAsync($"warning: {e.Status.Detail}").ConfigureAwait(false);
            }
        }

        Table table = new Table().Border(TableBorder.Rounded).AddColumns("job", "state", "progress", "for", "created");
        foreach (Job job in jobs.Where(job => state == JobState.Unspecified || job.State == state).OrderByDescending(job => job.CreateTime))
        {
            if (context.Json)
                context.WriteJson(job);
            else
                table.AddRow(job.Name.EscapeMarkup(), StateOf(job), ProgressOf(job).EscapeMarkup(), OwnerOf(job).EscapeMarkup(), $"{job.CreateTime?.ToDateTime().ToLocalTime():yyyy-MM-dd HH:mm:ss}");
        }

        if (!context.Json)
            context.Terminal.Write(table);
        return ExitCodes.Ok;
    }

    private static async Task<int> ShowAsync(CliContext context, ParseResult parse)
    {
        (_, JobView view) = await new JobSources(context).FindAsync(parse.GetValue(Name)!).ConfigureAwait(false);
        context.Output.WriteLine(context.Json ? JsonFormatter.Default.Format(view.Resource) : new JsonFormatter(JsonFormatter.Settings.Default.WithIndentation()).Format(view.Resource));
        return ExitCodes.Ok;
    }

    private static string StateOf(Job job) => job.State.ToString().ToLowerInvariant();

    private static string OwnerOf(Job job) => job.Priority == 0 ? job.Owner : $"{job.Owner} ({job.Priority:+0;-0})";

    // A queued one waits for these; that others go first, the states above and below it show.
    private static string ProgressOf(Job job) =>
        job is { State: JobState.Queued, Cores: > 0 } ? $"waits for {job.Cores} cores, {Text.Bytes(job.MemoryBytes)}" :
        job.Progress is not { Stage.Length: > 0 } progress ? "" : progress.Total > 0 ? $"{progress.Stage} {progress.Done}/{progress.Total} {progress.Unit}" : progress.Stage;
}
