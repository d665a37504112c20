using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using Drover.Protocol.Gateway.V1;
using Grpc.Core;
using Spectre.Console;

namespace Drover.Cli.Commands;

/// <summary><c>drover doctor</c>: what this machine has and lacks.</summary>
internal static class DoctorCommand
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private enum Verdict
    {
        Good,
        Note,
        Bad,
    }

    public static Command Build() => new Command("doctor", """
        Check this machine: .NET, Open MPI, GPU, memory, disk, ports, S3, Consul, the gateway and its services, your key. Ends with 1 when
        something is wrong; a note is no wrong.

        Example:
          drover doctor
        """).Does(async (context, _) =>
        {
            List<Finding> findings =
            [
                Runtime(), Program("Open MPI", "mpirun", "--version", "several ranks need it: apt-get install openmpi-bin"),
                Program("GPU", "nvidia-smi", "--query-gpu=name,memory.total --format=csv,noheader", "training runs on the processor"), Memory(), Disk(),
                await EndpointAsync("S3", "DROVER_ObjectStore__S3Endpoint", "the object store is a folder").ConfigureAwait(false),
                await EndpointAsync("Consul", "DROVER_Discovery__ConsulAddress", "services are found by their configured addresses").ConfigureAwait(false),
            ];
            findings.AddRange(await GatewayAsync(context).ConfigureAwait(false));
            foreach (Finding finding in findings)
            {
                if (context.Json)
                    await context.Output.WriteLineAsync(System.Text.Json.JsonSerializer.Serialize(finding.AsDictionary(), CliJson.Default.DictionaryStringString)).ConfigureAwait(false);
                else
                    context.Terminal.MarkupLineInterpolated($"{Mark(finding.Verdict)} {finding.What,-12} {finding.Text}");
            }

            return findings.Any(f => f.Verdict == Verdict.Bad) ? ExitCodes.Failed : ExitCodes.Ok;
        });

    private static string Mark(Verdict verdict) => verdict switch
    {
        Verdict.Good => "ok  ",
        Verdict.Note => "note",
        _ => "BAD ",
    };

    private static Finding Runtime() => new("NET", Verdict.Good, $"{System.Runtime.InteropServices.RuntimeInformation.FrameworkDescription} on {System.Runtime.InteropServices.RuntimeInformation.OSDescription}, {Environment.ProcessorCount} processors");

    private static Finding Program(string what, string program, string arguments, string without)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
            string first = process.StandardOutput.ReadLine() ?? "";
            if (process.WaitForExit(Patience) && process.ExitCode == 0)
                return new Finding(what, Verdict.Good, first.Trim());
            return new Finding(what, Verdict.Note, $"{program} does not work here; {without}");
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return new Finding(what, Verdict.Note, $"{program} is not there; {without}");
        }
    }

    private static Finding Memory()
    {
        long bytes = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        return new Finding("memory", bytes < 4L << 30 ? Verdict.Note : Verdict.Good, $"{Text.Bytes(bytes)} for this process; 'drover train plan' tells what a run needs");
    }

    private static Finding Disk()
    {
        var drive = new DriveInfo(Directory.GetCurrentDirectory());
        return new Finding("disk", drive.AvailableFreeSpace < 10L << 30 ? Verdict.Note : Verdict.Good, $"{Text.Bytes(drive.AvailableFreeSpace)} free in {Directory.GetCurrentDirectory()}");
    }

    private static async Task<Finding> EndpointAsync(string what, string variable, string without)
    {
        string address = Environment.GetEnvironmentVariable(variable) ?? "";
        if (address.Length == 0)
            return new Finding(what, Verdict.Note, $"{variable} is not set here: {without}");
        try
        {
            using var http = new HttpClient { Timeout = Patience };
            using HttpResponseMessage answer = await http.GetAsync(new Uri(address)).ConfigureAwait(false);
            return new Finding(what, Verdict.Good, $"{address} answers");
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException or UriFormatException)
        {
            return new Finding(what, Verdict.Bad, $"{address}: {e.Message}");
        }
    }

    private static async Task<IEnumerable<Finding>> GatewayAsync(CliContext context)
    {
        try
        {
            GetStatusResponse status = await context.Gateway.GetStatusAsync(new GetStatusRequest(), deadline: DateTime.UtcNow + Patience, cancellationToken: context.Cancellation).ConfigureAwait(false);
            return
            [
                new Finding("gateway", Verdict.Good, $"{context.GatewayAddress} takes your key; dashboard at {(status.HttpAddress.Length > 0 ? status.HttpAddress : "no address")}"),
                .. status.Services.Select(s => new Finding(s.Service, s.Serving ? Verdict.Good : Verdict.Bad, $"{s.Address} {s.Message}")),
            ];
        }
        catch (RpcException e) when (e.StatusCode is StatusCode.Unauthenticated or StatusCode.PermissionDenied)
        {
            return [new Finding("gateway", Verdict.Bad, $"{context.GatewayAddress} answers: {e.Status.Detail}")];
        }
        catch (RpcException)
        {
            return Ports(context);
        }
    }

    // No gateway: would one find its ports free?
    private static IEnumerable<Finding> Ports(CliContext context)
    {
        yield return new Finding("gateway", Verdict.Note, $"none answers at {context.GatewayAddress}; 'drover up' starts one");
        int[] taken = [.. new[] { 7500, 7501, 7502, 7503, 7504, 7580 }.Where(IsTaken)];
        yield return taken.Length == 0
            ? new Finding("ports", Verdict.Good, "7500 to 7504 and 7580 are free")
            : new Finding("ports", Verdict.Bad, string.Create(CultureInfo.InvariantCulture, $"taken by another program: {string.Join(", ", taken)}; 'drover up --help' says how to change one"));
    }

    private static bool IsTaken(int port)
    {
        using var client = new TcpClient();
        try
        {
            client.Connect("127.0.0.1", port);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private sealed record Finding(string What, Verdict Verdict, string Text)
    {
        public Dictionary<string, string> AsDictionary() => new(StringComparer.Ordinal)
        {
            ["what"] = What,
            ["verdict"] = Verdict.ToString().ToLowerInvariant(),
            ["text"] = Text,
        };
    }
}

/// <summary>JSON of what is no message of the protos.</summary>
[System.Text.Json.Serialization.JsonSerializable(typeof(Dictionary<string, string>))]
internal sealed partial class CliJson : System.Text.Json.Serialization.JsonSerializerContext;
