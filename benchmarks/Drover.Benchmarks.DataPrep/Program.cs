using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Drover.ObjectStore;
using Drover.Protocol.Common.V1;
using Drover.Protocol.DataPrep.V1;
using Drover.Tokenization;
using Grpc.Core;
using Grpc.Net.Client;

// How fast datasets are built, beside tokenizing alone in the same run, by the clock and in processor time (which other work on the
// machine disturbs less):
//   Drover.Benchmarks.DataPrep TOKENIZER_MODEL MEGABYTES FILE...
// Files of {"text": ...} lines, repeated to the size asked for, each time cut at another place with the halves exchanged.
// On S3 instead of a folder where DROVER_TEST_S3_ENDPOINT, _ACCESS_KEY and _SECRET_KEY are set.
if (args.Length < 3)
{
    Console.Error.WriteLine("usage: Drover.Benchmarks.DataPrep TOKENIZER_MODEL MEGABYTES FILE...");
    return 2;
}

string folder = Directory.CreateTempSubdirectory("drover-bench-").FullName;
try
{
    ObjectStoreOptions options = StoreOptions(folder);
    IObjectStore store = ObjectStores.Open(options);
    string run = "bench-" + Guid.NewGuid().ToString("N")[..8];
    byte[] corpus = Corpus(args[2..], long.Parse(args[1], CultureInfo.InvariantCulture) * 1_000_000);
    await store.PutBytesAsync($"{run}/a.jsonl", corpus, PutCondition.None, CancellationToken.None);
    await store.PutBytesAsync($"{run}/tokenizer/tokenizer.model", await File.ReadAllBytesAsync(args[0]), PutCondition.None, CancellationToken.None);
    Console.WriteLine($"{corpus.Length / 1e6:0} MB of JSONL, {(options.Folder.Length > 0 ? "folder" : "S3")}, {Environment.ProcessorCount} cores");

    await TokenizeAloneAsync(store, run, corpus);
    var seconds = new Dictionary<int, double>();
    double processor = double.MaxValue;
    foreach (int workers in new[] { 1, 2, 1, 2 })
    {
        Built built = await BuildAsync(run, workers, options, folder);
        seconds[workers] = Math.Min(built.Seconds, seconds.GetValueOrDefault(workers, double.MaxValue));
        processor = Math.Min(processor, built.ProcessorSeconds);
        Console.WriteLine($"{workers} worker(s): {built.Seconds:0.0} s, {corpus.Length / 1e6 / built.Seconds:0.00} MB/s, {built.Tokens / built.Seconds:N0} tokens/s; {built.ProcessorSeconds:0.0} s of processor in all workers; {built.Memory / 1e6:0} MB of each at most");
    }

    (double alone, double aloneProcessor) = await TokenizeAloneAsync(store, run, corpus);
    Console.WriteLine($"by the clock: one worker {alone / seconds[1]:P0} of tokenizing alone, two workers {seconds[1] / seconds[2]:0.00}x one; in processor time: {aloneProcessor / processor:P0} of tokenizing alone");
    return 0;
}
finally
{
    Directory.Delete(folder, recursive: true);
}

static ObjectStoreOptions StoreOptions(string folder) => Environment.GetEnvironmentVariable("DROVER_TEST_S3_ENDPOINT") is not { Length: > 0 } endpoint
    ? new ObjectStoreOptions { Folder = Path.Combine(folder, "objects") }
    : new ObjectStoreOptions
    {
        S3Endpoint = endpoint,
        S3Bucket = "drover-bench",
        S3AccessKey = Environment.GetEnvironmentVariable("DROVER_TEST_S3_ACCESS_KEY") ?? "",
        S3SecretKey = Environment.GetEnvironmentVariable("DROVER_TEST_S3_SECRET_KEY") ?? "",
    };

static byte[] Corpus(string[] files, long bytes)
{
    string[] texts = [.. files.SelectMany(File.ReadLines).Where(l => l.Trim().Length > 0).Select(TextOf)];
    var random = new Random(1);
    using var corpus = new MemoryStream();
    for (int i = 0; corpus.Length < bytes; i++)
    {
        string text = texts[i % texts.Length];
        int cut = i < texts.Length ? 0 : random.Next(text.Length + 1);
        corpus.Write(JsonSerializer.SerializeToUtf8Bytes(new Dictionary<string, string> { ["text"] = text[cut..] + text[..cut] }));
        corpus.WriteByte((byte)'\n');
    }

    return corpus.ToArray();
}

static string TextOf(string line)
{
    using var json = JsonDocument.Parse(line);
    return json.RootElement.GetProperty("text").GetString()!;
}

// What has to be done in any case: find the text of each line, and make ids of it.
static async Task<(double Seconds, double ProcessorSeconds)> TokenizeAloneAsync(IObjectStore store, string run, byte[] corpus)
{
    ITextTokenizer tokenizer = await TokenizerFolder.LoadAsync(store, $"{run}/tokenizer", CancellationToken.None);
    long started = Stopwatch.GetTimestamp();
    TimeSpan before = Process.GetCurrentProcess().TotalProcessorTime;
    long tokens = 0;
    for (int at = 0; at < corpus.Length;)
    {
        int length = corpus.AsSpan(at).IndexOf((byte)'\n');
        using var line = JsonDocument.Parse(corpus.AsMemory(at, length));
        tokens += tokenizer.Encode(line.RootElement.GetProperty("text").GetString()!).Length;
        at += length + 1;
    }

    double seconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
    double processor = (Process.GetCurrentProcess().TotalProcessorTime - before).TotalSeconds;
    Console.WriteLine($"tokenizing alone, one thread: {seconds:0.0} s, {corpus.Length / 1e6 / seconds:0.00} MB/s, {tokens / seconds:N0} tokens/s; {processor:0.0} s of processor");
    return (seconds, processor);
}

static async Task<Built> BuildAsync(string run, int workers, ObjectStoreOptions options, string folder)
{
    using var probe = new TcpListener(IPAddress.Loopback, 0);
    probe.Start();
    string address = $"http://127.0.0.1:{((IPEndPoint)probe.LocalEndpoint).Port}";
    probe.Stop();
    string data = Path.Combine(folder, Guid.NewGuid().ToString("N"));
    string[] common = options.Folder.Length > 0
        ? [$"--Services:dataprep={address}", $"--Drover:DataFolder={data}", $"--ObjectStore:Folder={options.Folder}"]
        : [$"--Services:dataprep={address}", $"--Drover:DataFolder={data}", $"--ObjectStore:S3Endpoint={options.S3Endpoint}", $"--ObjectStore:S3Bucket={options.S3Bucket}", $"--ObjectStore:S3AccessKey={options.S3AccessKey}", $"--ObjectStore:S3SecretKey={options.S3SecretKey}"];
    List<Process> processes = [Start([.. common, "--DataPrep:Workers=0"])];
    for (int i = 0; i < workers; i++)
        processes.Add(Start([.. common, "--DataPrep:Role=worker", "--DataPrep:Workers=1"]));
    try
    {
        using var channel = GrpcChannel.ForAddress(address);
        var client = new DataPrepService.DataPrepServiceClient(channel);
        await Task.Delay(TimeSpan.FromSeconds(4));
        double before = processes.Skip(1).Sum(p => p.TotalProcessorTime.TotalSeconds);
        var spec = new DatasetSpec { Name = $"{run}-{Guid.NewGuid():N}", Tokenizer = $"{run}/tokenizer", Sources = { $"{run}/a.jsonl" }, Format = DatasetFormat.Pretrain, MaxLength = 2048, TaskBytes = 8 << 20 };
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
        processes.ForEach(p => p.Refresh());
        double processor = processes.Skip(1).Sum(p => p.TotalProcessorTime.TotalSeconds) - before;
        return new Built(seconds, processor, build.Result.TokensInRows, processes.Skip(1).Max(p => PeakBytes(p.Id)));
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

static long PeakBytes(int process)
{
    string line = File.ReadLines($"/proc/{process}/status").First(l => l.StartsWith("VmHWM", StringComparison.Ordinal));
    return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) * 1024;
}

static Process Start(string[] args)
{
    string program = Path.Combine(AppContext.BaseDirectory, "..", "..", "Drover.DataPrep", Path.GetFileName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory)), "Drover.DataPrep");
    Process process = Process.Start(new ProcessStartInfo(program, args) { RedirectStandardOutput = true, RedirectStandardError = true })!;
    process.OutputDataReceived += (_, _) => { };
    process.ErrorDataReceived += (_, _) => { };
    process.BeginOutputReadLine();
    process.BeginErrorReadLine();
    return process;
}

/// <summary>A build that was measured.</summary>
internal sealed record Built(double Seconds, double ProcessorSeconds, long Tokens, long Memory);
