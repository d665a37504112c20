using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Drover.Benchmarks.Tokenizers;
using Drover.ObjectStore;
using Drover.Tokenization;
using Drover.Tokenization.Training;

// usage: Drover.Benchmarks.Tokenizers TOKENIZER TEXT...
// TOKENIZER is a tokenizer.model, a tokenizer.json or a folder. One JSON line each for the first pass of a fresh tokenizer (cold; the best of
// five), the best of twenty later passes (warm) and the best of twenty with two threads: MB/s of UTF-8, and the number of tokens.
// usage: Drover.Benchmarks.Tokenizers --learn COUNT DONOR SCRIPT TOKENIZER TEXT...
// learns pieces; DONOR and SCRIPT may be '-'.
// usage: Drover.Benchmarks.Tokenizers --long TOKENIZER [TEXT]
// times texts that cannot be cut.
// usage: Drover.Benchmarks.Tokenizers --make-model FOLDER TOKENIZER GIGABYTES, then --resize FOLDER DONOR; see benchmarks/resize.sh.
switch (args)
{
    case ["--long", string tokenizerOfLongTexts, .. string[] only]:
        LongTexts.Run(await LoadAsync(tokenizerOfLongTexts), only.FirstOrDefault());
        return 0;
    case ["--make-model", string folder, string baseTokenizer, string gigabytes]:
        await ResizeBenchmark.MakeAsync(folder, baseTokenizer, double.Parse(gigabytes, CultureInfo.InvariantCulture));
        return 0;
    case ["--resize", string folder, string pieces]:
        await ResizeBenchmark.ResizeAsync(folder, pieces);
        return 0;
}

if (args is ["--learn", string count, string donor, string script, string learnFrom, ..])
{
    IReadOnlySet<Script> scripts = script == "-" ? new HashSet<Script>() : new HashSet<Script> { Enum.Parse<Script>(script, ignoreCase: true) };
    LearningBenchmark.Run(await ReadAsync(learnFrom), int.Parse(count, CultureInfo.InvariantCulture), donor == "-" ? null : donor, scripts, args[5..]);
    return 0;
}

if (args.Length < 2)
{
    Console.Error.WriteLine("usage: Drover.Benchmarks.Tokenizers TOKENIZER TEXT...");
    return 2;
}

const int repeats = 20;
byte[][] documents = Documents.Read(args[1..]);
long bytes = documents.Sum(d => (long)d.Length);
ITextTokenizer other = await LoadAsync(args[0]);
// By then the code is compiled for good, however short the texts; the tokenizers below are fresh.
for (long start = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(2);)
    Pass(other, documents, 1);
ITextTokenizer tokenizer = await LoadAsync(args[0]);
ITextTokenizer[] fresh = [tokenizer, await LoadAsync(args[0]), await LoadAsync(args[0]), await LoadAsync(args[0]), await LoadAsync(args[0])];
Report("cold", 1, fresh.Select(t => Pass(t, documents, 1)).MinBy(p => p.Time));
Report("warm", 1, Enumerable.Range(0, repeats).Select(_ => Pass(tokenizer, documents, 1)).MinBy(p => p.Time));
Pass(tokenizer, documents, 2);
Report("warm", 2, Enumerable.Range(0, repeats).Select(_ => Pass(tokenizer, documents, 2)).MinBy(p => p.Time));
return 0;

static async Task<ITextTokenizer> LoadAsync(string path) => TokenizerFolder.Create(await ReadAsync(path));

static async Task<Vocabulary> ReadAsync(string path)
{
    string folder = Path.Combine(Path.GetTempPath(), "drover-benchmark-" + Guid.NewGuid().ToString("N"));
    Directory.CreateDirectory(Path.Combine(folder, "t"));
    string[] files = Directory.Exists(path) ? Directory.GetFiles(path) : [path];
    foreach (string file in files)
        File.Copy(file, Path.Combine(folder, "t", file.EndsWith(".model", StringComparison.Ordinal) ? "tokenizer.model" : Path.GetFileName(file)));
    Vocabulary vocabulary = await TokenizerFolder.ReadAsync(new FolderObjectStore(folder), "t", CancellationToken.None);
    Directory.Delete(folder, recursive: true);
    return vocabulary;
}

static (TimeSpan Time, long Tokens) Pass(ITextTokenizer tokenizer, byte[][] documents, int threads)
{
    long tokens = 0;
    long start = Stopwatch.GetTimestamp();
    if (threads == 1)
        tokens = Part(tokenizer, documents, 0, 1);
    else
        Parallel.For(0, threads, new ParallelOptions { MaxDegreeOfParallelism = threads }, i => Interlocked.Add(ref tokens, Part(tokenizer, documents, i, threads)));
    return (Stopwatch.GetElapsedTime(start), tokens);
}

static long Part(ITextTokenizer tokenizer, byte[][] documents, int first, int step)
{
    var ids = new TokenBuffer();
    long tokens = 0;
    for (int i = first; i < documents.Length; i += step)
    {
        ids.Clear();
        tokenizer.Encode(documents[i], ids);
        tokens += ids.Count;
    }

    return tokens;
}

void Report(string cache, int threads, (TimeSpan Time, long Tokens) pass) =>
    Console.WriteLine(JsonSerializer.Serialize(new { drover = cache, threads, mb_per_second = Math.Round(bytes / pass.Time.TotalSeconds / 1e6, 2), tokens = pass.Tokens, documents = documents.Length }));
