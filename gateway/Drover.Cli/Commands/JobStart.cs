using System.CommandLine;
using System.Globalization;
using Drover.Cli.Jobs;
using Drover.Protocol;
using Drover.Protocol.Common.V1;
using Google.Protobuf;
using Grpc.Core;

namespace Drover.Cli.Commands;

/// <summary>What all commands that start a job share.</summary>
internal static class JobStart
{
    public static readonly Option<bool> Detach = new("--detach") { Description = "Print the job's name and do not watch it" };

    public static readonly Option<int> Priority = new("--priority") { Description = "-100 to 100: jobs of a higher one begin first. Above 0 the key needs the scope admin" };

    /// <summary>What goes along with a call that makes a job.</summary>
    public static Metadata Headers(ParseResult parse) => parse.GetValue(Priority) is var priority && priority != 0
        ? new Metadata { { CallHeaders.Priority, priority.ToString(CultureInfo.InvariantCulture) } }
        : [];

    /// <summary>Prints a new job, watches it unless told not to, and prints what it made.</summary>
    /// <param name="context">The run.</param>
    /// <param name="parse">For --detach.</param>
    /// <param name="source">The job's kind.</param>
    /// <param name="job">The job.</param>
    /// <param name="resource">The resource it is part of.</param>
    /// <param name="describe">What the finished resource says, or null to print nothing.</param>
    public static async Task<int> FollowAsync<T>(CliContext context, ParseResult parse, JobSource source, Job job, T resource, Func<T, string> describe)
        where T : IMessage
    {
        context.Write(resource, () => job.Name);
        if (parse.GetValue(Detach))
            return ExitCodes.Ok;
        int code = await new JobWatch(context, source, job.Name).RunAsync().ConfigureAwait(false);
        if (code == ExitCodes.Ok && !context.Json)
            context.Output.WriteLine(describe((T)(await source.GetAsync(job.Name).ConfigureAwait(false)).Resource));
        return code;
    }

    /// <summary>A request id for a command that is given once.</summary>
    public static string NewRequestId() => Guid.NewGuid().ToString();
}
