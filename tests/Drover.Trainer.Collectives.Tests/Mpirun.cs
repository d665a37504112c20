using System.Diagnostics;
using System.Globalization;
using Drover.Trainer.Collectives.RankProgram;

namespace Drover.Trainer.Collectives.Tests;

/// <summary>Runs the rank program under mpirun.</summary>
internal static class Mpirun
{
    // Far more than any of these runs needs on a busy machine.
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(90);

    public static async Task<(int ExitCode, string Output)> RunAsync(int ranks, params string[] arguments)
    {
        Assert.SkipUnless(OpenMpi.IsAvailable(out string reason), reason);
        string? mpirun = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Select(f => Path.Combine(f, "mpirun")).FirstOrDefault(File.Exists);
        Assert.SkipWhen(mpirun is null, "mpirun is not in PATH; apt-get install openmpi-bin");
        var info = new ProcessStartInfo(mpirun!) { RedirectStandardOutput = true, RedirectStandardError = true };
        info.Environment["OMPI_ALLOW_RUN_AS_ROOT"] = "1";
        info.Environment["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1";
        info.Environment["TERM"] = "dumb";
        string program = typeof(CollectiveChecks).Assembly.Location;
        string dotnet = Path.GetFullPath(Path.Combine(System.Runtime.InteropServices.RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", "..", "dotnet"));
        foreach (string argument in (string[])["-n", ranks.ToString(CultureInfo.InvariantCulture), "--oversubscribe", "--bind-to", "none", "--mca", "mpi_yield_when_idle", "1", dotnet, program, .. arguments])
            info.ArgumentList.Add(argument);
        using Process process = Process.Start(info)!;
        using var end = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        end.CancelAfter(Limit);
        Task<string> output = process.StandardOutput.ReadToEndAsync(CancellationToken.None);
        Task<string> errors = process.StandardError.ReadToEndAsync(CancellationToken.None);
        try
        {
            await process.WaitForExitAsync(end.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            Assert.Fail($"The ranks did not end within {Limit.TotalSeconds} s: {await output}{await errors}");
        }

        return (process.ExitCode, await output + await errors);
    }
}
