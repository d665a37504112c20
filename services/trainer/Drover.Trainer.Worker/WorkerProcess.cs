using System.Runtime.InteropServices;
using System.Text.Json;
using Drover.Errors;
using Drover.ObjectStore;
using Drover.Trainer.Collectives;
using Drover.Trainer.Contract;
using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Worker;

/// <summary>
/// One rank: reads its spec, joins the others, does one of train, evaluate, generate, calibrate, devices. A failure becomes a file that the service shows
/// to the user, and ends every rank.
/// </summary>
internal static class WorkerProcess
{
    private const int Failed = 1;
    private const int BadUsage = 2;
    private static int s_told;

    public static int Run(string[] args)
    {
        if (args is not [("train" or "evaluate" or "generate" or "calibrate" or "devices") and var verb, "--spec", var file])
        {
            Console.Error.WriteLine("usage: Drover.Trainer.Worker train|evaluate|generate|calibrate|devices --spec FILE (started by the trainer service)");
            return BadUsage;
        }

        WorkerSpec spec;
        try
        {
            spec = JsonSerializer.Deserialize(File.ReadAllBytes(file), WorkerSpecJson.Default.WorkerSpec) ?? throw new JsonException("it is null");
        }
        catch (Exception e) when (e is IOException or JsonException)
        {
            Console.Error.WriteLine($"error: the worker spec '{file}': {e.Message}");
            return BadUsage;
        }

        return RunRank(verb, spec);
    }

    private static int RunRank(string verb, WorkerSpec spec)
    {
        int rank = int.TryParse(Environment.GetEnvironmentVariable("OMPI_COMM_WORLD_RANK"), out int r) ? r : 0;
        ICollectives? collectives = null;
        try
        {
            HostHeap.KeepFreedMemory();
            ParentWatch.Start(OpenMpi.StartedByMpirun, rank == 0 && spec.EndWithParent);
            // A rank in a long computation would not come to its next operation in time: it ends from here.
            collectives = OpenMpi.StartedByMpirun ? OpenMpi.Join(onRankLost: failure => End(spec, rank, failure, collectives)) : new SingleRank();
            using var stop = new StopRequest(spec.AttemptFolder);
            using var events = new EventLog(rank == 0 ? spec.EventsFile : null);
            if (spec.Devices is { } asked)
            {
                events.Write(new WorkerEvent { Devices = new DevicesEvent(RankDevice.Problem(spec.Precision, asked.Ranks, asked.Ranks)) });
                return 0;
            }

            (Device device, collectives) = RankDevice.Choose(spec, collectives, text => events.Write(new WorkerEvent { Log = text }));
            var context = new RankContext(spec, collectives, device, OpenStore(spec.Store), events, stop);
            switch (verb)
            {
                case "train":
                    TrainCommand.Run(context);
                    break;
                case "evaluate":
                    EvaluateCommand.Run(context);
                    break;
                case "calibrate":
                    CalibrateCommand.Run(context);
                    break;
                default:
                    GenerateCommand.Run(context);
                    break;
            }

            collectives.Dispose();
            return 0;
        }
        catch (Exception e)
        {
            // The border of the process: whatever it was, the user gets a message and no rank stays behind.
            End(spec, rank, e, collectives);
            return Failed;
        }
    }

    /// <summary>Tells why, and ends every rank. Once: the second caller waits for the end that the first is about to make.</summary>
    private static void End(WorkerSpec spec, int rank, Exception exception, ICollectives? collectives)
    {
        if (Interlocked.Exchange(ref s_told, 1) != 0)
            Thread.Sleep(Timeout.Infinite);
        Console.Error.WriteLine($"rank {rank}: {exception}");
        WriteFailure(spec.AttemptFolder, rank, exception);
        if (collectives is { WorldSize: > 1 })
            collectives.Abort(Failed);
        ProcessEnd.Now(Failed);
    }

    private static void WriteFailure(string folder, int rank, Exception exception)
    {
        WorkerFailure failure = exception switch
        {
            DroverException e => new WorkerFailure(rank, (int)e.Code, e.Reason, e.Message),
            OutOfMemoryException => new WorkerFailure(rank, (int)FailureCode.ResourceExhausted, "OUT_OF_MEMORY", $"Rank {rank} ran out of memory. Use a smaller micro_batch_rows, recompute: true, or head_chunk_tokens."),
            ExternalException when exception.Message.Contains("CUDA out of memory", StringComparison.Ordinal) => new WorkerFailure(rank, (int)FailureCode.ResourceExhausted, "OUT_OF_MEMORY", $"The GPU of rank {rank} ran out of memory. Use a smaller micro_batch_rows, recompute: true, head_chunk_tokens, or a placement that shares state among ranks (zero1, zero2, zero3, gemini)."),
            _ => new WorkerFailure(rank, (int)FailureCode.Unknown, "RANK_FAILED", $"Rank {rank} failed: {FirstLine(exception.Message)}"),
        };
        string path = Path.Combine(folder, $"failure-{rank}.json");
        File.WriteAllBytes(path + ".part", JsonSerializer.SerializeToUtf8Bytes(failure, WorkerEventJson.Default.WorkerFailure));
        File.Move(path + ".part", path, overwrite: true);
    }

    private static string FirstLine(string text) => text.Split('\n')[0].TrimEnd();

    private static IObjectStore OpenStore(StoreSpec spec) => ObjectStores.Open(new ObjectStoreOptions
    {
        Folder = spec.Folder,
        S3Endpoint = spec.S3Endpoint,
        S3Bucket = spec.S3Bucket,
        S3Region = spec.S3Region,
        S3CredentialsFile = spec.S3CredentialsFile,
        S3Profile = spec.S3Profile,
        S3CertificateFile = spec.S3CertificateFile,
        S3AccessKey = Environment.GetEnvironmentVariable(WorkerSpec.AccessKeyVariable) ?? "",
        S3SecretKey = Environment.GetEnvironmentVariable(WorkerSpec.SecretKeyVariable) ?? "",
    });
}

/// <summary>What the commands of a rank share.</summary>
internal sealed record RankContext(WorkerSpec Spec, ICollectives Collectives, Device Device, IObjectStore Store, EventLog Events, StopRequest Stop);
