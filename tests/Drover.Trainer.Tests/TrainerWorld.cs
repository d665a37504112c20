using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Drover.Checkpoint;
using Drover.Formats.Datasets;
using Drover.Formats.HuggingFace;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Trainer.V1;
using Drover.Testing;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Drover.Trainer.Tests;

/// <summary>The trainer and the checkpoint service on ports of their own, over a folder with a tiny model's config and a tiny dataset.</summary>
public sealed class TrainerWorld : IAsyncDisposable
{
    public const int Vocabulary = 64;
    public const string Dataset = "datasets/tiny";
    public const string Config = "inputs/tiny/config.json";
    public const int Rows = 96;
    private const int RowLength = 24;
    private readonly TemporaryFolder _folder = new();
    private readonly List<WebApplication> _services = [];
    private GrpcChannel? _trainerChannel;
    private GrpcChannel? _checkpointChannel;

    public IObjectStore Store { get; private set; } = null!;

    /// <summary>Folder of a prefix of the store.</summary>
    public string PathOf(string prefix) => Path.Combine(_folder["data/objects"], prefix);

    /// <summary>What the services log.</summary>
    public KeptLog Log { get; } = new();

    /// <summary>What the services were started with.</summary>
    public IReadOnlyList<string> Arguments { get; private set; } = [];

    public string Work => _folder["data/work/trainer"];

    public TrainerService.TrainerServiceClient Trainer { get; private set; } = null!;

    public CheckpointService.CheckpointServiceClient Checkpoints { get; private set; } = null!;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public static async Task<TrainerWorld> StartAsync(params string[] arguments)
    {
        var world = new TrainerWorld();
        world.Store = new FolderObjectStore(world._folder["data/objects"]);
        await world.WriteDatasetAsync(Dataset, Vocabulary, "tiny-tokenizer");
        await world.Store.PutTextAsync(Config, TinyConfig(Vocabulary).ToJson(), Cancellation);
        string trainer = $"http://127.0.0.1:{LoopbackPort.Free()}";
        string checkpoint = $"http://127.0.0.1:{LoopbackPort.Free()}";
        string[] all = [$"--Drover:DataFolder={world._folder["data"]}", $"--Services:trainer={trainer}", $"--Services:checkpoint={checkpoint}", "--Checkpoint:HubAddress=", .. arguments];
        world.Arguments = all;
        foreach (WebApplication service in new[] { CheckpointModule.Build(all), TrainerModule.Build(all) })
        {
            world._services.Add(service);
            service.Services.GetRequiredService<ILoggerFactory>().AddProvider(world.Log);
            await service.StartAsync(Cancellation);
        }

        world._trainerChannel = GrpcChannel.ForAddress(trainer);
        world._checkpointChannel = GrpcChannel.ForAddress(checkpoint);
        world.Trainer = new TrainerService.TrainerServiceClient(world._trainerChannel);
        world.Checkpoints = new CheckpointService.CheckpointServiceClient(world._checkpointChannel);
        return world;
    }

    public static TrainingSpec Spec(string name, int ranks = 1) => new()
    {
        Name = name,
        FromScratch = new FromScratch { Config = Config, Seed = 7 },
        Dataset = Dataset,
        Steps = 20,
        GlobalBatchRows = 8,
        MicroBatchRows = 2,
        Ranks = ranks,
        ThreadsPerRank = 1,
        Precision = Precision.Fp32,
        Optimizer = new OptimizerSpec { LearningRate = 1e-3 },
        Schedule = new ScheduleSpec { WarmupSteps = 3 },
        Seed = 11,
    };

    public static LlamaConfig TinyConfig(int vocabulary) => new()
    {
        VocabSize = vocabulary,
        HiddenSize = 32,
        IntermediateSize = 64,
        NumHiddenLayers = 2,
        NumAttentionHeads = 4,
        NumKeyValueHeads = 2,
        MaxPositionEmbeddings = RowLength,
    };

    public async Task<string> CreateAsync(TrainingSpec spec, string requestId = "") =>
        (await Trainer.CreateTrainingJobAsync(new CreateTrainingJobRequest { Spec = spec, RequestId = requestId }, cancellationToken: Cancellation)).Job.Job.Name;

    public async Task<TrainingJob> GetAsync(string job) =>
        (await Trainer.GetTrainingJobAsync(new GetTrainingJobRequest { Name = job }, cancellationToken: Cancellation)).Job;

    /// <summary>All events of a job until it ends; each is shown to <paramref name="see"/> as it comes.</summary>
    public async Task<List<JobEvent>> WatchAsync(string job, Func<JobEvent, Task>? see = null)
    {
        var events = new List<JobEvent>();
        using var call = Trainer.WatchTrainingJob(new WatchTrainingJobRequest { Name = job }, cancellationToken: Cancellation);
        while (await call.ResponseStream.MoveNext(Cancellation))
        {
            events.Add(call.ResponseStream.Current.Event);
            if (see is not null)
                await see(events[^1]);
        }

        return events;
    }

    /// <summary>Runs a job to its end, which must be a success, and gives the loss of each step (the last one told).</summary>
    public async Task<double[]> TrainAsync(TrainingSpec spec)
    {
        return Losses((await RunAsync(spec)).Events);
    }

    /// <summary>Runs a job to its end, which must be a success.</summary>
    /// <param name="spec">The run.</param>
    /// <param name="see">Is shown each event as it comes.</param>
    public async Task<(TrainingJob Job, List<JobEvent> Events)> RunAsync(TrainingSpec spec, Action<JobEvent>? see = null)
    {
        string name = await CreateAsync(spec);
        List<JobEvent> events = await WatchAsync(name, update =>
        {
            see?.Invoke(update);
            return Task.CompletedTask;
        });
        TrainingJob job = await GetAsync(name);
        Assert.True(job.Job.State == JobState.Succeeded, $"{job.Job.State}: {job.Job.Failure?.Message}\n{Logs()}");
        return (job, events);
    }

    public static double[] Losses(IEnumerable<JobEvent> events) =>
        [.. events.Where(e => e.StepMetrics is not null).GroupBy(e => e.StepMetrics.Step).OrderBy(g => g.Key).Select(g => g.Last().StepMetrics.Loss)];

    /// <summary>What starts of workers left behind.</summary>
    /// <param name="owner">"runs/NAME", "evaluations" or "texts".</param>
    public string[] AttemptFolders(string owner) => Directory.Exists(Path.Combine(Work, "attempts", owner)) ? Directory.GetDirectories(Path.Combine(Work, "attempts", owner)) : [];

    /// <summary>What ranks wrote, for the message of a test that failed.</summary>
    public string Logs() => string.Join('\n', Directory.EnumerateFiles(Work, "ranks.log", SearchOption.AllDirectories).Select(File.ReadAllText));

    /// <summary>Rows of short counting sentences from a fixed seed.</summary>
    /// <param name="prefix">Where.</param>
    /// <param name="vocabulary">Ids are below it.</param>
    /// <param name="tokenizerHash">For the manifest.</param>
    /// <param name="badRow">A row with a label that no vocabulary has; -1 for none.</param>
    /// <param name="stride">What the sentences count by.</param>
    /// <param name="oddRow">All other rows begin alike, so that this one is a surprise; -1 for none.</param>
    public async Task WriteDatasetAsync(string prefix, int vocabulary, string tokenizerHash, int badRow = -1, int stride = 3, int oddRow = -1)
    {
        var random = new Random(3);
        using var shard = new MemoryStream();
        DatasetShard listed;
        using (var writer = new ArrowRowWriter(shard))
        {
            for (int r = 0; r < Rows; r++)
            {
                int length = RowLength - random.Next(6);
                int start = random.Next(vocabulary) * (oddRow < 0 || r == oddRow ? 1 : 0);
                int[] ids = [.. Enumerable.Range(0, length).Select(i => r == oddRow ? (start + (i * i * 7)) % vocabulary : (start + (i * stride)) % vocabulary)];
                int cut = 4 + random.Next(8);
                int[] labels = [.. ids.Select((id, i) => i == 0 || i == cut ? PackedRow.Ignored : id)];
                if (r == badRow)
                    labels[1] = 1_000_000;
                writer.Write(new PackedRow(ids, labels, [cut, length - cut]));
            }

            listed = writer.Finish() with { File = "data.arrow", From = [new ShardSource("inputs/a.jsonl", 5, 10)] };
        }

        byte[] bytes = shard.ToArray();
        await Store.PutBytesAsync($"{prefix}/data.arrow", bytes, PutCondition.None, Cancellation);
        var manifest = new DatasetManifest
        {
            Format = "pretrain",
            Tokenizer = "tokenizers/tiny",
            TokenizerHash = tokenizerHash,
            VocabularySize = vocabulary,
            SpecHash = "0123456789abcdef",
            MaxLength = RowLength,
            Rows = Rows,
            Documents = 2 * Rows,
            TokensIn = 0,
            TokensInRows = 0,
            TokensRejected = 0,
            LabelTokens = 0,
            LinesIn = 0,
            LinesRejected = 0,
            TextBytes = 1000,
            Sources = [],
            Shards = [listed],
        };
        await Store.PutBytesAsync($"{prefix}/{DatasetManifest.FileName}", JsonSerializer.SerializeToUtf8Bytes(manifest, DatasetManifestJson.Default.DatasetManifest), PutCondition.None, Cancellation);
    }

    /// <summary>The process of a rank of a run.</summary>
    public Process RankProcess(string run, int rank)
    {
        foreach (string folder in WorkerProcesses())
        {
            if (Read(folder, "cmdline").Contains($"/runs/{run}/", StringComparison.Ordinal)
                && Read(folder, "environ").Contains($"\0OMPI_COMM_WORLD_RANK={rank}\0", StringComparison.Ordinal)
                && !Read(folder, "comm").StartsWith("mpirun", StringComparison.Ordinal))
                return Process.GetProcessById(int.Parse(Path.GetFileName(folder), CultureInfo.InvariantCulture));
        }

        throw new InvalidOperationException($"Rank {rank} of '{run}' is not running.");
    }

    /// <summary>Folders under /proc of what this world's trainer has started: ranks, and mpirun over them.</summary>
    public IEnumerable<string> WorkerProcesses() => Directory.EnumerateDirectories("/proc")
        .Where(f => int.TryParse(Path.GetFileName(f), out _) && Read(f, "cmdline").Contains(Path.Combine(Work, "attempts"), StringComparison.Ordinal));

    /// <summary>Ends them at once, as kill -9 does.</summary>
    public void KillWorkers()
    {
        foreach (string folder in WorkerProcesses())
            Process.GetProcessById(int.Parse(Path.GetFileName(folder), CultureInfo.InvariantCulture)).Kill();
    }

    private static string Read(string folder, string file)
    {
        try
        {
            return Encoding.UTF8.GetString(File.ReadAllBytes(Path.Combine(folder, file)));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return ""; // gone meanwhile, or not ours
        }
    }

    public async ValueTask DisposeAsync()
    {
        _trainerChannel?.Dispose();
        _checkpointChannel?.Dispose();
        foreach (WebApplication service in Enumerable.Reverse(_services))
        {
            await service.StopAsync(CancellationToken.None);
            await service.DisposeAsync();
        }

        _folder.Dispose();
    }
}
