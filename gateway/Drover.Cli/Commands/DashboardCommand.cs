using System.CommandLine;
using Drover.Client;
using Drover.Errors;
using Drover.Protocol.Gateway.V1;

namespace Drover.Cli.Commands;

/// <summary><c>drover dashboard</c>.</summary>
internal static class DashboardCommand
{
    private static readonly Argument<string> Job = new("JOB") { Description = "Open at this pipeline or job", DefaultValueFactory = _ => "", Arity = ArgumentArity.ZeroOrOne };

    public static Command Build() => new Command("dashboard", """
        Print the address of the gateway's page for a browser. It carries your key behind '#', which browsers do not send; the page keeps
        it in its tab. Do not pass the address on.

        Examples:
          drover dashboard
          drover dashboard pipeline-1a2b3c
        """) { Job }.Does(async (context, parse) =>
        {
            GetStatusResponse status = await context.Gateway.GetStatusAsync(new GetStatusRequest(), cancellationToken: context.Cancellation).ConfigureAwait(false);
            if (status.HttpAddress.Length == 0)
                throw new DroverException(FailureCode.FailedPrecondition, "NO_HTTP", "This gateway has no dashboard: Gateway:HttpAddress is empty.");
            string key = KeyFile.Find(DroverClient.AddressOf(context.GatewayAddress));
            string job = parse.GetValue(Job)!;
            job = job.StartsWith("jobs/", StringComparison.Ordinal) ? job["jobs/".Length..] : job;
            string place = job.Length == 0 ? "" : $"/{(job.StartsWith("pipeline-", StringComparison.Ordinal) ? "pipelines" : "jobs")}/{Uri.EscapeDataString(job)}";
            string address = $"{status.HttpAddress.TrimEnd('/')}/#{(key.Length > 0 ? $"key={key}" : "")}{place}";
            if (context.Json)
                context.WriteJson(new GetStatusResponse { HttpAddress = address });
            else
                context.Output.WriteLine(address);
            return ExitCodes.Ok;
        });
}
