using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Drover.Benchmarks.DataPrep;
using Drover.ObjectStore;
using Drover.Tokenization;

// How fast datasets are built, beside tokenizing alone in the same run, by the clock and in processor time:
//   Drover.Benchmarks.DataPrep TOKENIZER_MODEL MEGABYTES FILE...
// New text like that of files of {"text": ...} lines (see NovelText), in four sources.
// On S3 instead of a folder where DROVER_TEST_S3_ENDPOINT, _ACCESS_KEY and _SECRET_KEY are set.
// "N core(s)" means that each worker's process may use one core only (taskset), "free" that it may use all.
if (args.Length < 3)
{
    Console.Error.WriteLine("usage: Drover.Benchmarks.DataPrep TOKENIZER_MODEL MEGABYTES FILE...");
    return 2;
}

const int sources = 4;
const int SmallBytes = 4_000_000;
string folder = Directory.CreateTempSubdirectory("drover-bench-").FullName;
try
{
    ObjectStoreOptions options = StoreOptions(folder);
    IObjectStore store = ObjectStores.Open(options);
    string run = "bench-" + Guid.NewGuid().ToString("N")[..8];
    byte[][] texts = Texts(args[2..], long.Parse(args[1], CultureInfo.InvariantCulture) * 1_000_000);
    long bytes = await StoreAsync(store, run, texts);
    await store.PutBytesAsync($"{run}/tokenizer/tokenizer.model", await File.ReadAllBytesAsync(args[0]), PutCondition.None, CancellationToken.None);
    Console.WriteLine($"{bytes / 1e6:0} MB of JSONL, {texts.Length:N0} documents, {(options.Folder.Length > 0 ? "folder" : "S3")}, {Environment.ProcessorCount} cores");

    // Each time a tokenizer that has seen nothing, as that of a worker; compiled code it shares.
    async Task<double> Alone(byte[][] some, int threads) => TokenizeAlone(await TokenizerFolder.LoadAsync(store, $"{run}/tokenizer", CancellationToken.None), some, threads, bytes);
    await Alone(texts[..(texts.Length / 20)], 1);
    double[] alone = [double.MaxValue, double.MaxValue, double.MaxValue];
    foreach (int threads in new[] { 1, 2, 1, 2 })
        alone[threads] = Math.Min(alone[threads], await Alone(texts, threads));
    await Task.Delay(TimeSpan.FromSeconds(1));
    var best = new Dictionary<string, Built>();
    for (int round = 0; round < 2; round++)
    {
        foreach ((string name, int workers, bool pinned) in new[] { ("1 worker, 1 core", 1, true), ("2 workers, 2 cores", 2, true), ("1 worker, free", 1, false) })
        {
            Built built = await DatasetBuilder.BuildAsync(run, sources, workers, pinned, options, folder);
            Console.WriteLine($"{name}: {built.Seconds:0.0} s, {bytes / 1e6 / built.Seconds:0} MB/s, {built.Tokens / 1e6 / built.Seconds:0.0} M tokens/s; processor: {built.ProcessorSeconds:0.0} s in workers, {built.ServiceSeconds:0.0} s in the service; {built.Memory / 1e6:0} MB of each worker at most");
            if (!best.TryGetValue(name, out Built? before) || built.Seconds < before.Seconds)
                best[name] = built;
        }
    }

    foreach (int threads in new[] { 1, 2 })
        alone[threads] = Math.Min(alone[threads], await Alone(texts, threads));
    Built one = best["1 worker, 1 core"], two = best["2 workers, 2 cores"], free = best["1 worker, free"];
    Console.WriteLine($"of tokenizing alone: one worker on one core {alone[1] / one.Seconds:P0}, one worker free {alone[1] / free.Seconds:P0}, two workers of two threads {alone[2] / two.Seconds:P0}; two workers {one.Seconds / two.Seconds:0.00}x one");
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

static byte[][] Texts(string[] files, long bytes)
{
    string[] texts = [.. files.SelectMany(File.ReadLines).Where(l => l.Trim().Length > 0).Select(TextOf)];
    var novel = new NovelText(texts);
    var random = new Random(1);
    var all = new List<byte[]>();
    for (long length = 0; length < bytes; length += all[^1].Length)
        all.Add(Encoding.UTF8.GetBytes(novel.Next(texts[random.Next(texts.Length)].Length, random)));
    return [.. all];
}

static string TextOf(string line)
{
    using var json = JsonDocument.Parse(line);
    return json.RootElement.GetProperty("text").GetString()!;
}

static async Task<long> StoreAsync(IObjectStore store, string run, byte[][] texts)
{
    long bytes = 0;
    // Letters as they are, as nearly all corpora have them.
    var options = new JsonSerializerOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    for (int source = 0; source < sources; source++)
    {
        using var lines = new MemoryStream();
        for (int i = texts.Length * source / sources; i < texts.Length * (source + 1) / sources; i++)
        {
            JsonSerializer.Serialize(lines, new Dictionary<string, string> { ["text"] = Encoding.UTF8.GetString(texts[i]) }, options);
            lines.WriteByte((byte)'\n');
        }

        bytes += lines.Length;
        if (source == 0)
            await store.PutBytesAsync($"{run}/small.jsonl", Lines(lines.GetBuffer().AsSpan(0, (int)Math.Min(SmallBytes, lines.Length))), PutCondition.None, CancellationToken.None);
        lines.Position = 0;
        await store.PutAsync($"{run}/{source}.jsonl", lines, PutCondition.None, CancellationToken.None);
    }

    return bytes;
}

static byte[] Lines(ReadOnlySpan<byte> head) => head[..(head.LastIndexOf((byte)'\n') + 1)].ToArray();

// The texts lie in memory: nothing is read, nothing is kept. MB/s are of the JSONL, so that they compare.
static double TokenizeAlone(ITextTokenizer tokenizer, byte[][] texts, int threads, long bytes)
{
    long started = Stopwatch.GetTimestamp();
    long tokens = 0;
    void Part(int first)
    {
        var ids = new TokenBuffer();
        long count = 0;
        for (int i = texts.Length * first / threads; i < texts.Length * (first + 1) / threads; i++)
        {
            ids.Clear();
            tokenizer.Encode(texts[i], ids);
            count += ids.Count;
        }

        Interlocked.Add(ref tokens, count);
    }

    Task.WaitAll(Enumerable.Range(0, threads).Select(i => Task.Factory.StartNew(() => Part(i), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default)));
    double seconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
    Console.WriteLine($"tokenizing alone, {threads} thread(s): {seconds:0.00} s, {bytes / 1e6 / seconds:0} MB/s, {tokens / 1e6 / seconds:0.0} M tokens/s");
    return seconds;
}
