using System.CommandLine;
using System.Diagnostics;
using Drover.Errors;

namespace Drover.Cli.Commands;

/// <summary><c>drover up</c>: all services in one process.</summary>
internal static class UpCommand
{
    private static readonly Option<string> Data = new("--data")
    {
        Description = "Folder for everything that is kept: objects, jobs, work",
        HelpName = "FOLDER",
        DefaultValueFactory = _ => ".drover",
    };

    private static readonly Argument<string[]> Settings = new("SETTINGS")
    {
        Description = "Settings for the services, after '--': --Section:Key=value",
        Arity = ArgumentArity.ZeroOrMore,
    };

    public static Command Build() => new Command("up", """
        Start all services in one process, until Ctrl-C. The gateway listens at http://127.0.0.1:7500 (gRPC) and 7580 (JSON);
        Hugging Face clients pull from http://127.0.0.1:7581 (HF_ENDPOINT).
        A port that is taken is changed by a setting, e.g. '-- --Services:gateway=http://127.0.0.1:8500'
        (then tell the other commands: --gateway http://127.0.0.1:8500, or DROVER_GATEWAY).

        Examples:
          drover up
          drover up --data /var/lib/drover -- --Gateway:HttpAddress=http://127.0.0.1:8580
        """) { Data, Settings }.Does(async (context, parse) =>
        {
            var start = new ProcessStartInfo { UseShellExecute = false };
            (string file, string[] first) = Host();
            start.FileName = file;
            foreach (string argument in (string[])[.. first, $"--Drover:DataFolder={Path.GetFullPath(parse.GetValue(Data)!)}", .. parse.GetValue(Settings) ?? []])
                start.ArgumentList.Add(argument);
            using Process host = Process.Start(start) ?? throw new DroverException(FailureCode.Internal, "HOST_NOT_STARTED", $"'{file}' could not be started.");
            try
            {
                await host.WaitForExitAsync(context.Cancellation).ConfigureAwait(false);
                return host.ExitCode;
            }
            catch (OperationCanceledException)
            {
                // A terminal sends Ctrl-C to the host too; a SIGTERM reaches only us, so it is passed on.
                return await StopAsync(host).ConfigureAwait(false);
            }
        });

    private static async Task<int> StopAsync(Process host)
    {
        if (!host.HasExited)
        {
            using Process? kill = Process.Start(new ProcessStartInfo("kill", ["-TERM", host.Id.ToString(System.Globalization.CultureInfo.InvariantCulture)]));
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
            try
            {
                await host.WaitForExitAsync(patience.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                host.Kill(entireProcessTree: true);
            }
        }

        return ExitCodes.Ok;
    }

    private static (string File, string[] First) Host()
    {
        const string Name = "Drover.AllInOne";
        string here = AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar);
        // Installed: beside this program. Built: bin/<project>/<configuration>/.
        string[] places =
        [
            Environment.GetEnvironmentVariable("DROVER_ALLINONE") ?? "",
            Path.Combine(here, Name),
            Path.Combine(here, "..", "..", Name, Path.GetFileName(here), Name),
        ];
        string place = places.FirstOrDefault(File.Exists)
            ?? throw new DroverException(FailureCode.NotFound, "HOST_NOT_FOUND", $"The program '{Name}' is not beside drover. Build it (dotnet build), or set DROVER_ALLINONE to its path.");
        return place.EndsWith(".dll", StringComparison.Ordinal) ? ("dotnet", [place]) : (place, []);
    }
}
