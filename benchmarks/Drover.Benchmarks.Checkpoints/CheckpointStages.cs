using Drover.Checkpoint;
using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;

namespace Drover.Benchmarks.Checkpoints;

/// <summary>What is done with a checkpoint of a LLaMA of some size, each against the real service over a folder.</summary>
internal sealed class CheckpointStages(string folder, long parameters) : IAsyncDisposable
{
    private const string Address = "http://127.0.0.1:7994", Hub = "http://127.0.0.1:7995", Run = "bench";
    private const int Ranks = 2;
    private readonly WebApplication _service = CheckpointModule.Build([$"--Services:checkpoint={Address}", $"--Checkpoint:HubAddress={Hub}", $"--Drover:DataFolder={folder}", "--Security:Authentication=none", "--Logging:LogLevel:Default=Warning"]);
    private readonly GrpcChannel _channel = GrpcChannel.ForAddress(Address, new GrpcChannelOptions { MaxReceiveMessageSize = 16 << 20 });
    private readonly float[] _block = [.. Enumerable.Range(0, 1 << 22).Select(i => (float)Math.Sin(i))];

    private CheckpointService.CheckpointServiceClient Client => new(_channel);

    private IObjectStore Store => _service.Services.GetRequiredService<IObjectStore>();

    // 12 x hidden^2 a layer, nearly: 8 hidden^2 of attention and 3 x 8/3 of the rest; layers as many as it takes.
    private LlamaConfig Config { get; } = LlamaConfig.Parse(
        $$"""{"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":32000,"hidden_size":2048,"intermediate_size":5632,"num_hidden_layers":{{Math.Max(1, (parameters - 131_072_000) / 51_000_000)}},"num_attention_heads":16,"num_key_value_heads":16,"tie_word_embeddings":false}""",
        "bench");

    public Task StartAsync() => _service.StartAsync();

    public async ValueTask DisposeAsync()
    {
        _channel.Dispose();
        await _service.StopAsync();
        await _service.DisposeAsync();
    }

    /// <summary>Both ranks write at once, as ranks do.</summary>
    public async Task<long> SaveAsync()
    {
        string prefix = RunKeys.Checkpoint(Run, 1);
        WrittenShard[] written = await Task.WhenAll(Enumerable.Range(0, Ranks).Select(rank => Task.Run(() => CheckpointWriter.WriteShardAsync(Store, prefix, rank, Slices(rank), CancellationToken.None))));
        (IReadOnlyList<CheckpointShard> shards, IReadOnlyList<LogicalTensor> tensors) = CheckpointWriter.Assemble(written);
        var manifest = new CheckpointManifest { Run = Run, Step = 1, RowsConsumed = 8, TokensSeen = 100, Loss = 2, ModelConfig = Config.ToJson(), RunSpec = "{}", Dataset = "datasets/d", DatasetHash = "d", TokenizerHash = "t", Shards = shards, Tensors = tensors };
        await CheckpointWriter.WritePendingAsync(Store, prefix, manifest, CancellationToken.None);
        return shards.Sum(s => s.Bytes);
    }

    public async Task<long> PublishAsync() =>
        (await Client.PublishCheckpointAsync(new PublishCheckpointRequest { Checkpoint = RunKeys.Checkpoint(Run, 1) })).Checkpoint.SizeBytes;

    /// <summary>Two ranks that read what they wrote, or the halves of another cut: columns where there are two dims.</summary>
    public async Task<long> LoadAsync(bool isCutOtherwise)
    {
        CheckpointReader reader = await CheckpointReader.OpenAsync(Store, RunKeys.Checkpoint(Run, 1), CancellationToken.None);
        long[] bytes = await Task.WhenAll(Enumerable.Range(0, Ranks).Select(rank => Task.Run(() => LoadAsync(reader, rank, isCutOtherwise))));
        return bytes.Sum();
    }

    /// <summary>Files as they come, half as large in bf16; 1 GB each.</summary>
    public async Task<long> ExportAsync(ExportDataType type)
    {
        string job = (await Client.CreateExportAsync(new CreateExportRequest { Spec = new ExportSpec { Name = NameOf(type), Checkpoint = RunKeys.Checkpoint(Run, 1), DataType = type, MaxShardBytes = 1_000_000_000 } })).Export.Job.Name;
        using AsyncServerStreamingCall<WatchExportResponse> events = Client.WatchExport(new WatchExportRequest { Name = job });
        while (await events.ResponseStream.MoveNext(CancellationToken.None))
        {
            // Until it ends.
        }

        return (await Client.GetExportAsync(new GetExportRequest { Name = job })).Export.Result.SizeBytes;
    }

    /// <summary>All files at once, as the command line pulls four; nothing is written.</summary>
    public async Task<long> PullAsync()
    {
        Model model = (await Client.GetModelAsync(new GetModelRequest { Name = $"models/{NameOf(ExportDataType.Bf16)}" })).Model;
        long[] bytes = await Task.WhenAll(model.Files.Select(file => PullAsync(model, file)));
        return bytes.Sum();
    }

    private async Task<long> PullAsync(Model model, ModelFile file)
    {
        using AsyncServerStreamingCall<PullModelResponse> parts = Client.PullModel(new PullModelRequest { Name = model.Name, ContentHash = model.ContentHash, Files = { new FileRange { Path = file.Path } } });
        long bytes = 0;
        while (await parts.ResponseStream.MoveNext(CancellationToken.None))
            bytes += parts.ResponseStream.Current.Chunk.Length;
        return bytes;
    }

    private static string NameOf(ExportDataType type) => $"bench-{type}".ToLowerInvariant();

    /// <summary>All weights of the checkpoint in bf16, rendered as they are asked for.</summary>
    public static async Task<long> RenderAsync()
    {
        using var http = new HttpClient { BaseAddress = new Uri(Hub) };
        using Stream body = await http.GetStreamAsync(new Uri("/runs/bench/resolve/main/model.safetensors", UriKind.Relative));
        byte[] buffer = new byte[1 << 20];
        long bytes = 0;
        int count;
        while ((count = await body.ReadAsync(buffer)) > 0)
            bytes += count;
        return bytes;
    }

    private static async Task<long> LoadAsync(CheckpointReader reader, int rank, bool isCutOtherwise)
    {
        long bytes = 0;
        float[] buffer = [];
        foreach (LogicalTensor tensor in reader.Manifest.Tensors)
        {
            int dim = isCutOtherwise ? tensor.Shape.Length - 1 : 0;
            long[] offset = new long[tensor.Shape.Length], shape = [.. tensor.Shape];
            (offset[dim], shape[dim]) = (rank * (shape[dim] / 2), shape[dim] / 2);
            int count = (int)TensorBox.Count(shape);
            if (buffer.Length < count)
                buffer = new float[count];
            await reader.ReadAsync(tensor.Kind, tensor.Name, offset, shape, buffer.AsMemory(0, count), CancellationToken.None);
            bytes += count * sizeof(float);
        }

        return bytes;
    }

    private List<CheckpointSlice> Slices(int rank)
    {
        var slices = new List<CheckpointSlice>();
        foreach ((string name, long[] shape) in LlamaTensors.All(Config))
        {
            long rows = shape[0] / Ranks;
            long[] offset = new long[shape.Length], part = [rows, .. shape[1..]];
            offset[0] = rank * rows;
            foreach (string kind in (string[])[LogicalTensor.Weight, LogicalTensor.FirstMoment, LogicalTensor.SecondMoment])
                slices.Add(new CheckpointSlice(kind, name, shape, offset, part, (first, target) => _block.AsSpan((int)(first % (1 << 21)), target.Length).CopyTo(target)));
        }

        return slices;
    }
}
