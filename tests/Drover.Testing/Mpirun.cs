using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Xunit;

namespace Drover.Testing;

/// <summary>Runs a program of the tests as ranks under mpirun.</summary>
public static class Mpirun
{
    /// <summary>The path of mpirun, or null where it is not in PATH.</summary>
    public static string? Find() =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Select(f => Path.Combine(f, "mpirun")).FirstOrDefault(File.Exists);

    /// <summary>Skips the test, saying so, where mpirun is not installed.</summary>
    public static void Require() => Assert.SkipWhen(Find() is null, "mpirun is not in PATH; apt-get install openmpi-bin");

    /// <summary>Runs ranks of one thread to their end.</summary>
    /// <param name="ranks">Processes.</param>
    /// <param name="program">Path of a .NET program (.dll).</param>
    /// <param name="limit">The test fails when they take longer: far more than they need on a busy machine.</param>
    /// <param name="arguments">Of the program.</param>
    /// <returns>The exit code of mpirun, and what it and all ranks wrote.</returns>
    public static async Task<(int ExitCode, string Output)> RunAsync(int ranks, string program, TimeSpan limit, params string[] arguments)
    {
        Require();
        var info = new ProcessStartInfo(Find()!) { RedirectStandardOutput = true, RedirectStandardError = true };
        info.Environment["OMPI_ALLOW_RUN_AS_ROOT"] = "1";
        info.Environment["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1";
        info.Environment["TERM"] = "dumb";
        info.Environment["OMP_NUM_THREADS"] = "1";
        // Single copies need a permission that containers do not have.
        string[] options = ["-n", ranks.ToString(CultureInfo.InvariantCulture), "--oversubscribe", "--bind-to", "none", "--mca", "mpi_yield_when_idle", "1", "--mca", "btl_vader_single_copy_mechanism", "none"];
        string dotnet = Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", "..", "dotnet"));
        foreach (string argument in (string[])[.. options, dotnet, program, .. arguments])
            info.ArgumentList.Add(argument);
        using Process process = Process.Start(info)!;
        using var end = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        end.CancelAfter(limit);
        Task<string> output = process.StandardOutput.ReadToEndAsync(CancellationToken.None);
        Task<string> errors = process.StandardError.ReadToEndAsync(CancellationToken.None);
        try
        {
            await process.WaitForExitAsync(end.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            Assert.Fail($"The ranks did not end within {limit.TotalSeconds} s: {await output}{await errors}");
        }

        return (process.ExitCode, await output + await errors);
    }
}
