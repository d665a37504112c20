using System.Runtime.InteropServices;
using Drover.Formats.HuggingFace;
using Drover.Formats.Safetensors;
using Drover.ObjectStore;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Tokenizer.V1;
using Drover.Testing;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;

namespace Drover.Tokenizer.Tests;

/// <summary>The service as it runs, on a free port, with a store of its own.</summary>
internal sealed class RunningService : IAsyncDisposable
{
    public const int Hidden = 8;
    private readonly TemporaryFolder _folder = new();
    private readonly WebApplication _app;
    private readonly GrpcChannel _channel;

    private RunningService()
    {
        string address = $"http://127.0.0.1:{LoopbackPort.Free()}";
        Store = new FolderObjectStore(_folder["objects"]);
        _app = TokenizerModule.Build([$"--Services:tokenizer={address}", $"--Drover:DataFolder={_folder.Path}"]);
        _channel = GrpcChannel.ForAddress(address);
        Client = new TokenizerService.TokenizerServiceClient(_channel);
    }

    public static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public IObjectStore Store { get; }

    public TokenizerService.TokenizerServiceClient Client { get; }

    /// <summary>The folder of the store's objects under a prefix.</summary>
    public string PathOf(string prefix) => Path.Combine(_folder["objects"], prefix);

    public static async Task<RunningService> StartAsync()
    {
        var service = new RunningService();
        await service._app.StartAsync(Cancellation);
        return service;
    }

    /// <summary>Learns "tokenizers/base" of 320 ids from a small text.</summary>
    public async Task<TokenizerTraining> TrainBaseAsync()
    {
        await Store.PutTextAsync("inputs/corpus.jsonl", """
            {"text": "The drover drives the herd over the river, and the drover rests by the river."}
            {"source": "A herd of 120 sheep; ", "target": "the other herd has 87 goats!"}
            {"messages": [{"role": "user", "content": "Where does the drover rest?"}, {"role": "assistant", "content": "By the river."}]}
            this line is not JSON
            """, Cancellation);
        var spec = new TokenizerTrainingSpec { Name = "base", VocabularySize = 320, CharacterCoverage = 1, Sources = { "inputs" } };
        CreateTokenizerTrainingResponse created = await Client.CreateTokenizerTrainingAsync(new CreateTokenizerTrainingRequest { RequestId = "train", Spec = spec }, cancellationToken: Cancellation);
        await EndOfAsync(created.Training.Job.Name);
        return (await Client.GetTokenizerTrainingAsync(new GetTokenizerTrainingRequest { Name = created.Training.Job.Name }, cancellationToken: Cancellation)).Training;
    }

    /// <summary>Writes "models/base": one layer, random fp32 weights, in one shard or in two.</summary>
    public async Task<float[][]> PutModelAsync(int rows, bool tied, bool sharded)
    {
        var config = new LlamaConfig { VocabSize = rows, HiddenSize = Hidden, IntermediateSize = 12, NumHiddenLayers = 1, NumAttentionHeads = 2, TieWordEmbeddings = tied, TorchDtype = "float32" };
        var random = new Random(7);
        var values = new Dictionary<string, float[]>();
        SafetensorsTensor[] tensors = [.. LlamaTensors.All(config).Select(t =>
        {
            float[] data = [.. Enumerable.Range(0, (int)t.Shape.Aggregate(1L, (n, d) => n * d)).Select(_ => random.NextSingle() - 0.5f)];
            // Columns that go together, as those of trained rows do.
            for (int i = 1; i < data.Length; i++)
                data[i] += i % t.Shape[^1] > 0 ? 0.8f * data[i - 1] : 0;
            values[t.Name] = data;
            return new SafetensorsTensor(t.Name, SafetensorsTypes.F32, t.Shape, (stream, stop) => stream.WriteAsync(MemoryMarshal.AsBytes<float>(data).ToArray(), stop).AsTask());
        })];
        if (sharded)
        {
            string[] files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
            await SafetensorsWriter.PutAsync(Store, $"models/base/{files[0]}", tensors[..3], null, Cancellation);
            await SafetensorsWriter.PutAsync(Store, $"models/base/{files[1]}", tensors[3..], null, Cancellation);
            string map = string.Join(",", tensors.Select((t, i) => $"\"{t.Name}\":\"{files[i < 3 ? 0 : 1]}\""));
            await Store.PutTextAsync("models/base/model.safetensors.index.json", "{\"metadata\":{\"total_size\":1},\"weight_map\":{" + map + "}}", Cancellation);
        }
        else
        {
            await SafetensorsWriter.PutAsync(Store, "models/base/model.safetensors", tensors, null, Cancellation);
        }

        await Store.PutTextAsync("models/base/config.json", config.ToJson(), Cancellation);
        return [.. values[LlamaTensors.Embedding].Chunk(Hidden)];
    }

    public async Task<Expansion> ExpandAsync(ExpansionSpec spec)
    {
        CreateExpansionResponse created = await Client.CreateExpansionAsync(new CreateExpansionRequest { Spec = spec }, cancellationToken: Cancellation);
        await EndOfAsync(created.Expansion.Job.Name);
        return (await Client.GetExpansionAsync(new GetExpansionRequest { Name = created.Expansion.Job.Name }, cancellationToken: Cancellation)).Expansion;
    }

    public static async Task<float[][]> ReadRowsAsync(HuggingFaceModel model, string tensor)
    {
        SafetensorsEntry entry = model.Get(tensor);
        byte[] bytes = new byte[entry.Length];
        await model.FileOf(tensor).ReadAsync(tensor, 0, bytes, Cancellation);
        return [.. MemoryMarshal.Cast<byte, float>(bytes).ToArray().Chunk((int)entry.Shape[^1])];
    }

    public async Task<string[]> KeysAsync(string prefix)
    {
        var keys = new List<string>();
        await foreach (ObjectInfo info in Store.ListAsync(prefix, Cancellation))
            keys.Add(info.Key);
        return [.. keys];
    }

    public async ValueTask DisposeAsync()
    {
        _channel.Dispose();
        await _app.StopAsync(CancellationToken.None);
        await _app.DisposeAsync();
        _folder.Dispose();
    }

    public async Task EndOfAsync(string job)
    {
        var states = new List<JobState>();
        using AsyncServerStreamingCall<WatchTokenizerJobResponse> call = Client.WatchTokenizerJob(new WatchTokenizerJobRequest { Name = job }, cancellationToken: Cancellation);
        await foreach (WatchTokenizerJobResponse response in call.ResponseStream.ReadAllAsync(Cancellation))
        {
            if (response.Event.EventCase == JobEvent.EventOneofCase.StateChanged)
                states.Add(response.Event.StateChanged);
        }

        Assert.Equal(JobState.Queued, states[0]);
    }
}
