using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using Drover.Errors;
using Drover.ObjectStore;
using Drover.Trainer.Contract;

namespace Drover.Trainer;

/// <summary>
/// Starts worker processes (one rank: directly; more: through mpirun), hands on their events as they are written, and tells how they
/// ended. The processes hold the other end of a pipe: when this service is killed, they end.
/// </summary>
internal sealed partial class WorkerLauncher(TrainerOptions options, WorkFolder work, ObjectStoreOptions store, TimeProvider time, ILogger<WorkerLauncher> logger)
{
    private static readonly Func<ILogger, int, long?, IDisposable?> s_rankScope = LoggerMessage.DefineScope<int, long?>("rank {Rank} after training step {TrainingStep}");
    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(50);
    private static readonly string[] ForwardedVariables =
        ["PATH", "HOME", "DOTNET_ROOT", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "GOMP_SPINCOUNT", "MALLOC_ARENA_MAX", "MKL_NUM_THREADS", "OMP_DYNAMIC", "MKL_DYNAMIC", "MKL_CBWR", "ONEDNN_PRIMITIVE_CACHE_CAPACITY", "PYTORCH_TENSOREXPR", "CUDA_VISIBLE_DEVICES", "NCCL_SOCKET_IFNAME", "NCCL_DEBUG", WorkerSpec.AccessKeyVariable, WorkerSpec.SecretKeyVariable,
         "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SHARED_CREDENTIALS_FILE"];

    /// <summary>What every worker is told.</summary>
    public WorkerSpec NewSpec(string attemptFolder) => new()
    {
        AttemptFolder = attemptFolder,
        EventsFile = Path.Combine(attemptFolder, "events.jsonl"),
        CacheFolder = Path.Combine(work.Path, "cache"),
        Store = new StoreSpec(store.Folder.Length == 0 ? "" : Path.GetFullPath(store.Folder), store.S3Endpoint, store.S3Bucket, store.S3Region)
        {
            S3CredentialsFile = store.S3CredentialsFile,
            S3Profile = store.S3Profile,
            S3CertificateFile = store.S3CertificateFile,
        },
        EndWithParent = true,
        Threads = Environment.ProcessorCount,
    };

    /// <summary>The path of mpirun, or null where there is none.</summary>
    public string? FindMpirun()
    {
        if (options.MpirunPath.Contains('/', StringComparison.Ordinal))
            return File.Exists(options.MpirunPath) ? Path.GetFullPath(options.MpirunPath) : null;
        return (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator)
            .Select(folder => Path.Combine(folder, options.MpirunPath)).FirstOrDefault(File.Exists);
    }

    /// <summary>The failure for ranks &gt; 1 on a machine without mpirun.</summary>
    public DroverException MpirunMissing(int ranks) => new(
        FailureCode.FailedPrecondition,
        "MPIRUN_NOT_FOUND",
        $"ranks is {ranks}, and this machine has no '{options.MpirunPath}'. Install Open MPI (apt-get install openmpi-bin), or use ranks: 1.");

    /// <summary>Runs workers to their end.</summary>
    /// <param name="verb">"train", "evaluate", "generate".</param>
    /// <param name="spec">Written to the attempt's folder.</param>
    /// <param name="ranks">Processes.</param>
    /// <param name="onEvent">Called for each event, in order.</param>
    /// <param name="cancellation">Kills the workers.</param>
    public async Task<WorkerOutcome> RunAsync(string verb, WorkerSpec spec, int ranks, Func<WorkerEvent, Task> onEvent, CancellationToken cancellation)
    {
        string specFile = Path.Combine(spec.AttemptFolder, "spec.json");
        await File.WriteAllBytesAsync(specFile, JsonSerializer.SerializeToUtf8Bytes(spec, WorkerSpecJson.Default.WorkerSpec), cancellation).ConfigureAwait(false);
        await File.WriteAllBytesAsync(spec.EventsFile, [], cancellation).ConfigureAwait(false);
        using Process process = Process.Start(StartInfo(verb, specFile, spec, ranks)) ?? throw new InvalidOperationException("The worker did not start.");
        // The last step that was told; what ranks print is of the one after.
        long? step = null;
        using var logs = new RankLogs(spec.AttemptFolder, (rank, line) => Log(rank ?? (ranks == 1 ? 0 : null), step, line));
        Task[] pumps = [logs.PumpAsync(process.StandardOutput), logs.PumpAsync(process.StandardError)];
        try
        {
            await using var stop = cancellation.Register(() => Kill(process)).ConfigureAwait(false);
            await TailAsync(process, spec, async update =>
            {
                step = update.Step?.Step ?? update.Started?.StepsDone ?? step;
                using IDisposable? scope = s_rankScope(logger, 0, step);
                await onEvent(update).ConfigureAwait(false);
            }).ConfigureAwait(false);
            await process.WaitForExitAsync(CancellationToken.None).ConfigureAwait(false);
            await Task.WhenAll(pumps).ConfigureAwait(false);
        }
        finally
        {
            Kill(process);
        }

        cancellation.ThrowIfCancellationRequested();
        return new WorkerOutcome(process.ExitCode, ReadFailures(spec.AttemptFolder), logs.All);
    }

    private void Log(int? rank, long? step, string line)
    {
        if (line.Length == 0)
            return;
        if (rank is { } of)
            LogRank(of, step, line);
        else
            LogMpirun(step, line);
    }

    private ProcessStartInfo StartInfo(string verb, string specFile, WorkerSpec spec, int ranks)
    {
        var info = new ProcessStartInfo
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = spec.AttemptFolder,
        };
        string threads = spec.Threads.ToString(CultureInfo.InvariantCulture);
        info.Environment["OMP_NUM_THREADS"] = threads;
        info.Environment["MKL_NUM_THREADS"] = threads;
        // Threads that wait for each other spin, by default for long: where other work shares the cores that is most of a step. Alone it costs nothing
        // to give way early (benchmarks/results/2026-11-25-training-step.md).
        info.Environment.TryAdd("GOMP_SPINCOUNT", "10000");
        // A heap for the main thread, which computes, and one for all others: what one of those freed the next can use.
        info.Environment.TryAdd("MALLOC_ARENA_MAX", "2");
        // As many as were asked for, always: sums are cut by threads, and the same run is to give the same bits.
        (info.Environment["OMP_DYNAMIC"], info.Environment["MKL_DYNAMIC"]) = ("FALSE", "FALSE");
        // Documents of every length are shapes of every size: the library would keep a thousand kernels for them.
        info.Environment["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] = "256";
        // On GPUs libtorch would compile fused kernels of our scripts for shapes that change with every batch.
        if (spec.Device != WorkerSpec.Cpu)
            info.Environment["PYTORCH_TENSOREXPR"] = "0";
        if (store.S3AccessKey.Length > 0)
            (info.Environment[WorkerSpec.AccessKeyVariable], info.Environment[WorkerSpec.SecretKeyVariable]) = (store.S3AccessKey, store.S3SecretKey);
        // Or the runtime sends the terminal's control sequences into the logs.
        info.Environment["TERM"] = "dumb";
        string worker = FindWorker();
        if (ranks == 1)
        {
            info.FileName = DotnetHost();
        }
        else
        {
            info.FileName = FindMpirun() ?? throw MpirunMissing(ranks);
            // Root is what containers run as.
            info.Environment["OMPI_ALLOW_RUN_AS_ROOT"] = "1";
            info.Environment["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1";
            foreach (string argument in MpirunArguments.Of(options, ranks, spec.Threads, Environment.ProcessorCount, ForwardedVariables.Where(info.Environment.ContainsKey)))
                info.ArgumentList.Add(argument);
            info.ArgumentList.Add(DotnetHost());
        }

        foreach (string argument in new[] { worker, verb, "--spec", specFile })
            info.ArgumentList.Add(argument);
        return info;
    }

    private string FindWorker()
    {
        const string name = "Drover.Trainer.Worker";
        string here = AppContext.BaseDirectory;
        string configuration = Path.GetFileName(Path.TrimEndingDirectorySeparator(here));
        string[] candidates = options.WorkerPath.Length > 0
            ? [Path.GetFullPath(options.WorkerPath)]
            : [Path.Combine(here, "worker", name + ".dll"), Path.GetFullPath(Path.Combine(here, "..", "..", name, configuration, name + ".dll"))];
        return candidates.FirstOrDefault(File.Exists)
            ?? throw new DroverException(FailureCode.FailedPrecondition, "WORKER_NOT_FOUND", $"The worker program was not found at {string.Join(" or ", candidates)}. Build {name}, or set Trainer:WorkerPath to {name}.dll.");
    }

    /// <summary>The dotnet program of the runtime that this process runs on.</summary>
    private static string DotnetHost()
    {
        string beside = Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", "..", "dotnet"));
        return File.Exists(beside) ? beside : "dotnet";
    }

    private static void Kill(Process process)
    {
        if (!process.HasExited)
            process.Kill(entireProcessTree: true);
    }

    private async Task TailAsync(Process process, WorkerSpec spec, Func<WorkerEvent, Task> onEvent)
    {
        var failed = new EndOfFailedAttempt(spec.AttemptFolder, time);
        var stream = new FileStream(spec.EventsFile, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        await using (stream.ConfigureAwait(false))
        {
            var pending = new List<byte>();
            byte[] buffer = new byte[1 << 16];
            while (true)
            {
                // Asked before reading, so that what was written before the end is read.
                bool ended = process.HasExited;
                int count;
                while ((count = await stream.ReadAsync(buffer).ConfigureAwait(false)) > 0)
                {
                    pending.AddRange(buffer.AsSpan(0, count));
                    for (int end; (end = pending.IndexOf((byte)'\n')) >= 0; pending.RemoveRange(0, end + 1))
                        await onEvent(JsonSerializer.Deserialize(CollectionsMarshal.AsSpan(pending)[..end], WorkerEventJson.Default.WorkerEvent)!).ConfigureAwait(false);
                }

                if (ended)
                    return;
                if (failed.IsOverdue())
                    Kill(process);
                await Task.Delay(PollInterval, time).ConfigureAwait(false);
            }
        }
    }

    private static List<WorkerFailure> ReadFailures(string folder) =>
        [.. Directory.EnumerateFiles(folder, EndOfFailedAttempt.FailureFiles).Order(StringComparer.Ordinal)
            .Select(file => JsonSerializer.Deserialize(File.ReadAllBytes(file), WorkerEventJson.Default.WorkerFailure)!)];

    [LoggerMessage(1, LogLevel.Information, "rank {Rank} after training step {TrainingStep}: {Line}")]
    private partial void LogRank(int rank, long? trainingStep, string line);

    [LoggerMessage(2, LogLevel.Information, "mpirun after training step {TrainingStep}: {Line}")]
    private partial void LogMpirun(long? trainingStep, string line);
}
