using System.Diagnostics;
using System.Globalization;
using Drover.Trainer.Collectives.RankProgram;

namespace Drover.Trainer.Collectives.Tests;

public sealed class OperationTests
{
    public static IEnumerable<TheoryDataRow<string, int>> OperationsAndRanks(params int[] ranks) =>
        from name in CollectiveChecks.Names from n in ranks select new TheoryDataRow<string, int>(name, n);

    public static IEnumerable<TheoryDataRow<string, int>> OnThreads() => OperationsAndRanks(1, 2, 3, 5);

    public static IEnumerable<TheoryDataRow<string, int>> OnProcesses() => OperationsAndRanks(2, 3);

    [Theory]
    [MemberData(nameof(OnThreads))]
    public void An_operation_does_what_it_says_on_threads(string name, int ranks)
    {
        var problems = new System.Collections.Concurrent.ConcurrentBag<string>();
        ThreadRanks.Run(ranks, collectives =>
        {
            foreach (string problem in CollectiveChecks.Run(name, collectives))
                problems.Add(problem);
        });
        Assert.Empty(problems);
    }

    [Theory]
    [MemberData(nameof(OnProcesses))]
    public async Task An_operation_does_what_it_says_on_open_mpi(string name, int ranks)
    {
        (int exitCode, string output) = await Mpirun.RunAsync(ranks, name);
        Assert.True(exitCode == 0, output);
        Assert.Contains($"{name} holds on {ranks} ranks", output, StringComparison.Ordinal);
    }

    [Fact]
    public void One_rank_needs_no_library()
    {
        using var one = new SingleRank();
        foreach (string name in CollectiveChecks.Names)
            Assert.Empty(CollectiveChecks.Run(name, one));
    }

    [Fact]
    public void A_rank_that_fails_lets_the_others_go_and_its_failure_is_told()
    {
        InvalidOperationException failure = Assert.Throws<InvalidOperationException>(() => ThreadRanks.Run(3, collectives =>
        {
            if (collectives.Rank == 1)
                throw new InvalidOperationException("rank 1 is broken");
            collectives.Barrier();
        }));
        Assert.Equal("rank 1 is broken", failure.Message);
    }

    [Fact]
    public void A_sum_on_threads_is_not_done_before_it_is_waited_for()
    {
        ThreadRanks.Run(2, collectives =>
        {
            float[] values = [1];
            var pin = System.Runtime.InteropServices.GCHandle.Alloc(values, System.Runtime.InteropServices.GCHandleType.Pinned);
            ICollectiveHandle handle = collectives.StartAllReduceSum(pin.AddrOfPinnedObject(), 1);
            Assert.Equal(1, values[0]);
            handle.Wait();
            Assert.Equal(2, values[0]);
            pin.Free();
        });
    }
}

/// <summary>Runs the rank program under mpirun.</summary>
internal static class Mpirun
{
    public static async Task<(int ExitCode, string Output)> RunAsync(int ranks, string operation)
    {
        Assert.SkipUnless(OpenMpi.IsAvailable(out string reason), reason);
        string? mpirun = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Select(f => Path.Combine(f, "mpirun")).FirstOrDefault(File.Exists);
        Assert.SkipWhen(mpirun is null, "mpirun is not in PATH; apt-get install openmpi-bin");
        var info = new ProcessStartInfo(mpirun!) { RedirectStandardOutput = true, RedirectStandardError = true };
        info.Environment["OMPI_ALLOW_RUN_AS_ROOT"] = "1";
        info.Environment["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1";
        string program = typeof(CollectiveChecks).Assembly.Location;
        string dotnet = Path.GetFullPath(Path.Combine(System.Runtime.InteropServices.RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", "..", "dotnet"));
        foreach (string argument in new[] { "-n", ranks.ToString(CultureInfo.InvariantCulture), "--oversubscribe", "--bind-to", "none", dotnet, program, operation })
            info.ArgumentList.Add(argument);
        using Process process = Process.Start(info)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        Task<string> errors = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return (process.ExitCode, await output + await errors);
    }
}
