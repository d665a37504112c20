using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Drover.ObjectStore;
using Drover.Protocol.Common.V1;
using Drover.Protocol.DataPrep.V1;
using Grpc.Core;
using Grpc.Net.Client;

namespace Drover.Benchmarks.DataPrep;

/// <summary>A build that was measured.</summary>
/// <param name="Seconds">From the request to the published dataset.</param>
/// <param name="ProcessorSeconds">Of all workers.</param>
/// <param name="ServiceSeconds">Processor time of the service.</param>
/// <param name="Tokens">In rows.</param>
/// <param name="Memory">Most resident bytes of a worker.</param>
internal sealed record Built(double Seconds, double ProcessorSeconds, double ServiceSeconds, long Tokens, long Memory);

/// <summary>Builds a dataset with a service and workers, each a process of its own.</summary>
internal static class DatasetBuilder
{
    private const int TaskBytes = 32 << 20;
    // Such that each worker has some of them.
    private const int SmallTaskBytes = 1 << 17;

    public static async Task<Built> BuildAsync(string run, int sources, int workers, bool pinned, ObjectStoreOptions options, string folder)
    {
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        string address = $"http://127.0.0.1:{((IPEndPoint)probe.LocalEndpoint).Port}";
        probe.Stop();
        string data = Path.Combine(folder, Guid.NewGuid().ToString("N"));
        string[] common = options.Folder.Length > 0
            ? ["--Security:Authentication=none", $"--Services:dataprep={address}", $"--Drover:DataFolder={data}", $"--ObjectStore:Folder={options.Folder}"]
            : ["--Security:Authentication=none", $"--Services:dataprep={address}", $"--Drover:DataFolder={data}", $"--ObjectStore:S3Endpoint={options.S3Endpoint}", $"--ObjectStore:S3Bucket={options.S3Bucket}", $"--ObjectStore:S3AccessKey={options.S3AccessKey}", $"--ObjectStore:S3SecretKey={options.S3SecretKey}"];
        List<Process> processes = [Start(null, [.. common, "--DataPrep:Workers=0"])];
        for (int i = 0; i < workers; i++)
            processes.Add(Start(pinned ? i : null, [.. common, "--DataPrep:Role=worker", "--DataPrep:Workers=1"]));
        try
        {
            using var channel = GrpcChannel.ForAddress(address);
            var client = new DataPrepService.DataPrepServiceClient(channel);
            await Task.Delay(TimeSpan.FromSeconds(4));
            // Code that is compiled at the first build is compiled now, as that of tokenizing alone is: services and workers run for days.
            for (int i = 0; i < workers; i++)
                await BuildAsync(client, Spec(run, [$"{run}/small.jsonl"], SmallTaskBytes), options);
            double[] before = Processor(processes);
            DatasetSpec spec = Spec(run, [.. Enumerable.Range(0, sources).Select(s => $"{run}/{s}.jsonl")], TaskBytes);
            (double seconds, long tokens) = await BuildAsync(client, spec, options);
            double[] used = [.. Processor(processes).Zip(before, (after, b) => after - b)];
            return new Built(seconds, used.Skip(1).Sum(), used[0], tokens, processes.Skip(1).Max(p => PeakBytes(p.Id)));
        }
        finally
        {
            foreach (Process process in processes)
            {
                process.Kill();
                await process.WaitForExitAsync();
                process.Dispose();
            }
        }
    }

    private static DatasetSpec Spec(string run, IEnumerable<string> sources, int taskBytes) =>
        new() { Name = $"{run}-{Guid.NewGuid():N}", Tokenizer = $"{run}/tokenizer", Sources = { sources }, Format = DatasetFormat.Pretrain, MaxLength = 2048, TaskBytes = taskBytes };

    private static async Task<(double Seconds, long Tokens)> BuildAsync(DataPrepService.DataPrepServiceClient client, DatasetSpec spec, ObjectStoreOptions options)
    {
        long started = Stopwatch.GetTimestamp();
        string name = (await client.CreateDatasetBuildAsync(new CreateDatasetBuildRequest { Spec = spec })).Build.Job.Name;
        using AsyncServerStreamingCall<WatchDatasetBuildResponse> watch = client.WatchDatasetBuild(new WatchDatasetBuildRequest { Name = name });
        while (await watch.ResponseStream.MoveNext(CancellationToken.None))
        {
        }

        double seconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
        DatasetBuild build = (await client.GetDatasetBuildAsync(new GetDatasetBuildRequest { Name = name })).Build;
        if (build.Job.State != JobState.Succeeded)
            throw new InvalidOperationException(build.Job.Failure?.Message);
        await RemoveAsync(options, $"datasets/{spec.Name}");
        return (seconds, build.Result.TokensInRows);
    }

    // The rows have served; on a small disk they would stand in the way of the next build.
    private static async Task RemoveAsync(ObjectStoreOptions options, string prefix)
    {
        IObjectStore store = ObjectStores.Open(options);
        await foreach (ObjectInfo file in store.ListAsync(prefix, CancellationToken.None))
            await store.DeleteAsync(file.Key, CancellationToken.None);
        (store as IDisposable)?.Dispose();
    }

    private static double[] Processor(List<Process> processes)
    {
        processes.ForEach(p => p.Refresh());
        return [.. processes.Select(p => p.TotalProcessorTime.TotalSeconds)];
    }

    private static long PeakBytes(int process)
    {
        string line = File.ReadLines($"/proc/{process}/status").First(l => l.StartsWith("VmHWM", StringComparison.Ordinal));
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) * 1024;
    }

    private static Process Start(int? core, string[] args)
    {
        string program = Path.Combine(AppContext.BaseDirectory, "..", "..", "Drover.DataPrep", Path.GetFileName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory)), "Drover.DataPrep");
        // taskset becomes the program, so the process stays the one that was started.
        ProcessStartInfo start = core is { } only ? new ProcessStartInfo("taskset", ["-c", only.ToString(CultureInfo.InvariantCulture), program, .. args]) : new ProcessStartInfo(program, args);
        (start.RedirectStandardOutput, start.RedirectStandardError) = (true, true);
        Process process = Process.Start(start)!;
        process.OutputDataReceived += (_, _) => { };
        process.ErrorDataReceived += (_, _) => { };
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        return process;
    }
}
