using Drover.Formats.Checkpoints;
using Drover.Formats.HuggingFace;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.Common.V1;
using Drover.Testing;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;

namespace Drover.Checkpoint.Tests;

/// <summary>The real service on a free port with a folder of its own, and what tests need to fill it.</summary>
internal sealed class RunningService : IAsyncDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly WebApplication _app;
    private readonly GrpcChannel _channel;

    private RunningService(string[] settings)
    {
        string address = $"http://127.0.0.1:{LoopbackPort.Free()}";
        Hub = $"http://127.0.0.1:{LoopbackPort.Free()}";
        _app = CheckpointModule.Build([$"--Services:checkpoint={address}", $"--Checkpoint:HubAddress={Hub}", $"--Drover:DataFolder={_folder.Path}", .. settings]);
        _channel = GrpcChannel.ForAddress(address);
        Client = new CheckpointService.CheckpointServiceClient(_channel);
        Store = new FolderObjectStore(_folder["objects"]);
    }

    public FolderObjectStore Store { get; }

    public CheckpointService.CheckpointServiceClient Client { get; }

    /// <summary>Address of the Hub's API.</summary>
    public string Hub { get; }

    public static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public static async Task<RunningService> StartAsync(params string[] settings)
    {
        var service = new RunningService(settings);
        await service._app.StartAsync(Cancellation);
        return service;
    }

    public async ValueTask DisposeAsync()
    {
        _channel.Dispose();
        await _app.StopAsync(CancellationToken.None);
        await _app.DisposeAsync();
        _folder.Dispose();
    }

    public string PathOf(string key) => _folder[$"objects/{key}"];

    /// <summary>Changes one byte of an object in place, as a failing disk does.</summary>
    public void Flip(string key, long position)
    {
        using FileStream file = File.Open(PathOf(key), FileMode.Open);
        file.Position = position < 0 ? file.Length + position : position;
        int value = file.ReadByte();
        file.Position--;
        file.WriteByte((byte)(value ^ 0x10));
    }

    /// <summary>A small LLaMA's config.</summary>
    public static LlamaConfig Config(bool tied) => LlamaConfig.Parse(
        $$"""
        {"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":40,"hidden_size":16,"intermediate_size":24,
         "num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"tie_word_embeddings":{{(tied ? "true" : "false")}},
         "bos_token_id":1,"eos_token_id":[2,3],"rope_theta":500000.0,"rms_norm_eps":1e-05,"my_own_key":{"a":[1,2]},
         "rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":64} }
        """,
        "test");

    /// <summary>What the weights of a test checkpoint are: any tensor, the same every time.</summary>
    public static float[] Values(string kind, string name, long[] shape, long step)
    {
        var random = new Random(HashCode.Combine(kind.Length, name.Length, (int)step) ^ name.Sum(c => c * 31));
        return [.. Enumerable.Range(0, (int)shape.Aggregate(1L, (a, b) => a * b)).Select(_ => (random.NextSingle() - 0.5f) / 3)];
    }

    /// <summary>Writes a checkpoint as two ranks that cut every matrix by rows, up to the pending manifest.</summary>
    public async Task<string> WriteCheckpointAsync(string run, long step, bool tied = false, Func<string, string, bool>? leaveOut = null, string runSpec = "{}")
    {
        string prefix = RunKeys.Checkpoint(run, step);
        LlamaConfig config = Config(tied);
        var written = new List<WrittenShard>();
        for (int rank = 0; rank < 2; rank++)
        {
            var slices = new List<CheckpointSlice>();
            foreach ((string name, long[] shape) in LlamaTensors.All(config))
            {
                foreach (string kind in new[] { LogicalTensor.Weight, LogicalTensor.FirstMoment, LogicalTensor.SecondMoment })
                {
                    if (leaveOut?.Invoke(kind, name) != true)
                        slices.Add(Half(kind, name, shape, rank, step));
                }
            }

            written.Add(await CheckpointWriter.WriteShardAsync(Store, prefix, rank, slices, Cancellation));
        }

        (IReadOnlyList<CheckpointShard> shards, IReadOnlyList<LogicalTensor> tensors) = CheckpointWriter.Assemble(written);
        await CheckpointWriter.WritePendingAsync(
            Store,
            prefix,
            new CheckpointManifest
            {
                Run = run,
                Step = step,
                RowsConsumed = step * 8,
                TokensSeen = step * 512,
                Loss = 3.25,
                ModelConfig = config.ToJson(),
                RunSpec = runSpec,
                Dataset = "datasets/d",
                DatasetHash = "d1",
                TokenizerHash = "t1",
                Shards = shards,
                Tensors = tensors,
            },
            Cancellation);
        return prefix;
    }

    /// <summary>Writes and publishes.</summary>
    public async Task<string> PublishAsync(string run, long step, bool tied = false, string runSpec = "{}")
    {
        string prefix = await WriteCheckpointAsync(run, step, tied, runSpec: runSpec);
        await Client.PublishCheckpointAsync(new PublishCheckpointRequest { Checkpoint = prefix }, cancellationToken: Cancellation);
        return prefix;
    }

    /// <summary>Runs an export to its end.</summary>
    public async Task<Export> ExportAsync(ExportSpec spec)
    {
        string job = (await Client.CreateExportAsync(new CreateExportRequest { Spec = spec }, cancellationToken: Cancellation)).Export.Job.Name;
        using AsyncServerStreamingCall<WatchExportResponse> events = Client.WatchExport(new WatchExportRequest { Name = job }, cancellationToken: Cancellation);
        while (await events.ResponseStream.MoveNext(Cancellation))
        {
            // Until the job ends.
        }

        return (await Client.GetExportAsync(new GetExportRequest { Name = job }, cancellationToken: Cancellation)).Export;
    }

    /// <summary>Runs an export that must succeed.</summary>
    public async Task<Model> ExportWellAsync(ExportSpec spec)
    {
        Export export = await ExportAsync(spec);
        Assert.True(export.Job.State == JobState.Succeeded, $"{export.Job.State}: {export.Job.Failure?.Message}");
        return export.Result;
    }

    /// <summary>The status that a call ends with.</summary>
    public static async Task<Status> StatusOf(Func<Task> call) => (await Assert.ThrowsAsync<RpcException>(call)).Status;

    private static CheckpointSlice Half(string kind, string name, long[] shape, int rank, long step)
    {
        float[] values = Values(kind, name, shape, step);
        long middle = shape[0] / 2;
        long row = values.Length / shape[0];
        long first = rank == 0 ? 0 : middle;
        long[] offset = new long[shape.Length];
        offset[0] = first;
        long[] extent = [rank == 0 ? middle : shape[0] - middle, .. shape.AsSpan(1)];
        return new CheckpointSlice(kind, name, shape, offset, extent, (at, target) => values.AsSpan((int)((first * row) + at), target.Length).CopyTo(target));
    }
}
