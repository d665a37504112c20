using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Drover.Formats.HuggingFace;
using Drover.Formats.Safetensors;
using Drover.ObjectStore;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Tokenizer.V1;
using Drover.Tokenizer;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;

namespace Drover.Benchmarks.Tokenizers;

/// <summary>
/// A model of some gigabytes in bf16 is resized to an expanded tokenizer by the real service over a folder. Making it and resizing it
/// are two processes, so that the peak of memory is that of the resizing.
/// </summary>
internal static class ResizeBenchmark
{
    private const int LayersPerShard = 8;
    private const string Address = "http://127.0.0.1:7993";

    /// <summary>Writes "models/base", of 2,560 columns, shards of eight layers, and "tokenizers/base".</summary>
    public static async Task MakeAsync(string folder, string tokenizer, double gigabytes)
    {
        var store = new FolderObjectStore(Path.Combine(folder, "objects"));
        await store.PutBytesAsync("tokenizers/base/tokenizer.model", await File.ReadAllBytesAsync(tokenizer), PutCondition.None, CancellationToken.None);
        var config = new LlamaConfig { VocabSize = 32000, HiddenSize = 2560, IntermediateSize = 6912, NumHiddenLayers = 1, NumAttentionHeads = 20, NumKeyValueHeads = 20, TorchDtype = "bfloat16" };
        config = config with { NumHiddenLayers = Math.Max(1, (int)Math.Round(((gigabytes * 5e8) - (2 * 32000 * 2560)) / ((4 * 2560 * 2560) + (3 * 2560 * 6912)))) };
        // Numbers of one size: what they are changes no time, and zeros might.
        byte[] block = new byte[4 << 20];
        new Random(3).NextBytes(block);
        for (int i = 1; i < block.Length; i += 2)
            block[i] = 0x3C;
        SafetensorsTensor[] tensors = [.. LlamaTensors.All(config).Select(t => new SafetensorsTensor(t.Name, SafetensorsTypes.BF16, t.Shape, async (stream, stop) =>
        {
            for (long left = t.Shape.Aggregate(2L, (n, d) => n * d); left > 0; left -= block.Length)
                await stream.WriteAsync(block.AsMemory(0, (int)Math.Min(left, block.Length)), stop);
        }))];
        SafetensorsTensor[][] shards = [.. tensors.Chunk(((tensors.Length - 3) / config.NumHiddenLayers * LayersPerShard) + 1)];
        string FileOf(int shard) => $"model-{shard + 1:D5}-of-{shards.Length:D5}.safetensors";
        for (int i = 0; i < shards.Length; i++)
            await SafetensorsWriter.PutAsync(store, $"models/base/{FileOf(i)}", shards[i], null, CancellationToken.None);
        var map = shards.SelectMany((s, i) => s.Select(t => (t.Name, File: FileOf(i)))).ToDictionary(t => t.Name, t => t.File);
        await store.PutTextAsync("models/base/model.safetensors.index.json", JsonSerializer.Serialize(new { metadata = new { total_size = tensors.Sum(t => t.ByteCount) }, weight_map = map }), CancellationToken.None);
        await store.PutTextAsync("models/base/config.json", config.ToJson(), CancellationToken.None);
    }

    /// <summary>Expands "tokenizers/base" by the pieces of another vocabulary, and "models/base" with it.</summary>
    public static async Task ResizeAsync(string folder, string donor)
    {
        var store = new FolderObjectStore(Path.Combine(folder, "objects"));
        await store.PutBytesAsync("inputs/donor/tokenizer.model", await File.ReadAllBytesAsync(donor), PutCondition.None, CancellationToken.None);
        await using WebApplication service = TokenizerModule.Build(["--Security:Authentication=none", $"--Services:tokenizer={Address}", $"--Drover:DataFolder={folder}", "--Logging:LogLevel:Default=Warning"]);
        await service.StartAsync();
        using var channel = GrpcChannel.ForAddress(Address);
        var client = new TokenizerService.TokenizerServiceClient(channel);
        long start = Stopwatch.GetTimestamp();
        var spec = new ExpansionSpec { Name = "wide", BaseTokenizer = "tokenizers/base", BaseModel = "models/base", Pieces = "inputs/donor", PadToMultiple = 64 };
        string job = (await client.CreateExpansionAsync(new CreateExpansionRequest { Spec = spec })).Expansion.Job.Name;
        TimeSpan? resizing = null;
        using var watch = client.WatchTokenizerJob(new WatchTokenizerJobRequest { Name = job });
        while (await watch.ResponseStream.MoveNext(CancellationToken.None))
        {
            if (watch.ResponseStream.Current.Event.Progress?.Stage == "resizing the model")
                resizing ??= Stopwatch.GetElapsedTime(start);
        }

        TimeSpan all = Stopwatch.GetElapsedTime(start);
        Expansion expansion = (await client.GetExpansionAsync(new GetExpansionRequest { Name = job })).Expansion;
        if (expansion.Job.State != JobState.Succeeded)
            throw new InvalidOperationException(expansion.Job.Failure?.Message);
        long written = new DirectoryInfo(Path.Combine(folder, "objects/models/wide")).EnumerateFiles("*.safetensors").Sum(f => f.Length);
        var process = Process.GetCurrentProcess();
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"resize: {written / 1e9:F2} GB written, {expansion.Result.EmbeddingRows - 32000} rows more, {all.TotalSeconds:F2} s of which {resizing?.TotalSeconds:F2} s before the first tensor, {written / 1e9 / all.TotalSeconds:F2} GB/s, processor {process.TotalProcessorTime.TotalSeconds:F2} s, peak {process.PeakWorkingSet64 / 1e6:F0} MB"));
        await service.StopAsync();
    }
}
