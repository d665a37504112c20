using System.Security.Cryptography;
using Drover.Cli.Models;
using Drover.Errors;
using Drover.Hosting;
using Drover.Protocol.Checkpoint.V1;
using Drover.Testing;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;

namespace Drover.Gateway.Tests;

public sealed class ModelPullerTests : IAsyncLifetime
{
    private readonly TemporaryFolder _folder = new();
    private readonly Shelf _shelf = new();
    private readonly string _address = $"http://127.0.0.1:{LoopbackPort.Free()}";
    private WebApplication? _app;
    private GrpcChannel? _channel;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        WebApplicationBuilder builder = DroverHost.CreateBuilder("checkpoint", [$"--Services:checkpoint={_address}", $"--Drover:DataFolder={_folder["data"]}"]);
        builder.Services.AddSingleton(_shelf);
        _app = builder.Build();
        _app.MapGrpcService<ShelfService>();
        await _app.StartAsync(Cancellation);
        _channel = GrpcChannel.ForAddress(_address);
    }

    public async ValueTask DisposeAsync()
    {
        _channel?.Dispose();
        if (_app is not null)
        {
            await _app.StopAsync(CancellationToken.None);
            await _app.DisposeAsync();
        }

        _folder.Dispose();
    }

    [Fact]
    public async Task A_second_pull_fetches_nothing_and_a_damaged_file_is_fetched_again()
    {
        Assert.Equal(_shelf.Size, await PullAsync());
        AssertWhole();
        Assert.Equal(0, await PullAsync());
        byte[] bytes = await File.ReadAllBytesAsync(_folder["model/a.bin"], Cancellation);
        bytes[5] ^= 1;
        await File.WriteAllBytesAsync(_folder["model/a.bin"], bytes, Cancellation);
        Assert.Equal(bytes.Length, await PullAsync());
        AssertWhole();
    }

    [Fact]
    public async Task A_pull_that_breaks_goes_on_where_it_was()
    {
        _shelf.BreakAfterChunks = 3;
        Assert.Equal(_shelf.Size, await PullAsync());
        Assert.Equal(_shelf.Files.Count + 1, _shelf.Requests.Count);
        Assert.Contains(_shelf.Requests, request => request.Files.Single().OffsetBytes > 0);
        AssertWhole();
    }

    [Fact]
    public async Task Files_come_from_the_object_store_where_it_gives_them_and_the_rest_through_the_service()
    {
        await using WebApplication store = await StartStoreAsync();
        Assert.Equal(_shelf.Size, await PullAsync());
        // Of config.json the address answers nothing; of a.bin it breaks off after a part, and the service gives what follows.
        Assert.Equal([("a.bin", 60_000L), ("config.json", 0L)], _shelf.Requests.Select(request => request.Files.Single()).Select(f => (f.Path, f.OffsetBytes)).Order());
        AssertWhole();
    }

    [Fact]
    public async Task Several_files_come_at_once()
    {
        for (int i = 0; i < 3; i++)
            _shelf.Files[$"shard-{i}"] = [1, 2, 3];
        _shelf.Meeting = new Barrier(4);
        Assert.Equal(_shelf.Size, await PullAsync());
        AssertWhole();
    }

    [Fact]
    public async Task Bytes_that_do_not_fit_their_digest_never_get_the_files_name()
    {
        _shelf.Damage = true;
        DroverException e = await Assert.ThrowsAsync<DroverException>(PullAsync);
        Assert.Equal(FailureCode.DataLoss, e.Code);
        Assert.False(File.Exists(_folder["model/a.bin"]));
        _shelf.Damage = false;
        await PullAsync();
        AssertWhole();
    }

    [Fact]
    public async Task Two_pulls_into_one_folder_do_not_write_the_same_file()
    {
        Directory.CreateDirectory(_folder["model"]);
        using var other = new FileStream(_folder["model/a.bin.part"], FileMode.Create, FileAccess.ReadWrite, FileShare.None);
        DroverException e = await Assert.ThrowsAsync<DroverException>(PullAsync);
        Assert.Equal(FailureCode.Aborted, e.Code);
        Assert.Contains("Another pull", e.Message, StringComparison.Ordinal);
    }

    /// <summary>Gives a part of a.bin, breaks off, and knows nothing else.</summary>
    private async Task<WebApplication> StartStoreAsync()
    {
        _shelf.Address = $"http://127.0.0.1:{LoopbackPort.Free()}";
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseUrls(_shelf.Address);
        WebApplication store = builder.Build();
        store.MapGet("/store/a.bin", async context =>
        {
            byte[] bytes = _shelf.Files["a.bin"];
            context.Response.StatusCode = 206;
            context.Response.Headers.ContentRange = $"bytes 0-{bytes.Length - 1}/{bytes.Length}";
            context.Response.ContentLength = bytes.Length;
            await context.Response.Body.WriteAsync(bytes.AsMemory(0, 60_000), Cancellation);
            await context.Response.Body.FlushAsync(Cancellation);
            await Task.Delay(100, Cancellation);
            context.Abort();
        });
        await store.StartAsync(Cancellation);
        return store;
    }

    private async Task<long> PullAsync()
    {
        var puller = new ModelPuller(new CheckpointService.CheckpointServiceClient(_channel), Cancellation);
        return (await puller.PullAsync("models/m", _folder["model"], (_, _) => { }, _ => { })).Fetched;
    }

    private void AssertWhole()
    {
        foreach ((string path, byte[] bytes) in _shelf.Files)
            Assert.Equal(bytes, File.ReadAllBytes(_folder[$"model/{path}"]));
        Assert.Equal(_shelf.Files.Count, Directory.GetFiles(_folder["model"]).Length);
    }

    internal sealed class Shelf
    {
        public SortedDictionary<string, byte[]> Files { get; } = new(StringComparer.Ordinal) { ["a.bin"] = RandomNumberGenerator.GetBytes(100_000), ["config.json"] = [1, 2, 3] };

        public long Size => Files.Values.Sum(bytes => bytes.LongLength);

        public int BreakAfterChunks { get; set; } = -1;

        public bool Damage { get; set; }

        public string Address { get; set; } = "";

        /// <summary>Where so many calls have to be at one time.</summary>
        public Barrier? Meeting { get; set; }

        public List<PullModelRequest> Requests { get; } = [];
    }

    internal sealed class ShelfService(Shelf shelf) : CheckpointService.CheckpointServiceBase
    {
        public override Task<GetModelResponse> GetModel(GetModelRequest request, ServerCallContext context) =>
            Task.FromResult(new GetModelResponse { Model = new Model { Name = request.Name, ContentHash = "h", SizeBytes = shelf.Size, Files = { shelf.Files.Select(f => new ModelFile { Path = f.Key, SizeBytes = f.Value.Length, Sha256 = Convert.ToHexStringLower(SHA256.HashData(f.Value)) }) } } });

        public override Task<PresignModelResponse> PresignModel(PresignModelRequest request, ServerCallContext context) =>
            Task.FromResult(new PresignModelResponse { Files = { shelf.Address.Length == 0 ? [] : shelf.Files.Keys.Select(path => new PresignedFile { Path = path, Address = $"{shelf.Address}/store/{path}" }) } });

        public override async Task PullModel(PullModelRequest request, IServerStreamWriter<PullModelResponse> responseStream, ServerCallContext context)
        {
            lock (shelf.Requests)
                shelf.Requests.Add(request);
            if (shelf.Meeting is { } meeting && request.Files.Single().Path is not "config.json")
                Assert.True(await Task.Run(() => meeting.SignalAndWait(TimeSpan.FromSeconds(30))));
            foreach (FileRange range in request.Files)
            {
                byte[] bytes = shelf.Files[range.Path];
                await responseStream.WriteAsync(new PullModelResponse { FileStart = new FileStart { Path = range.Path, OffsetBytes = range.OffsetBytes, SizeBytes = bytes.Length } }, context.CancellationToken);
                foreach (byte[] chunk in bytes.Skip((int)range.OffsetBytes).Chunk(20_000))
                {
                    if (shelf.BreakAfterChunks-- == 0)
                        throw new DroverException(FailureCode.Unavailable, "STOPPING", "The service stops.");
                    if (shelf.Damage)
                        chunk[0] ^= 1;
                    await responseStream.WriteAsync(new PullModelResponse { Chunk = ByteString.CopyFrom(chunk) }, context.CancellationToken);
                }

                await responseStream.WriteAsync(new PullModelResponse { FileEnd = new FileEnd { Sha256 = Convert.ToHexStringLower(SHA256.HashData(bytes)) } }, context.CancellationToken);
            }
        }
    }
}
