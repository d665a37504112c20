using System.Security.Cryptography;
using System.Text;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;
using Grpc.Core;
using static Drover.Checkpoint.Tests.RunningService;

namespace Drover.Checkpoint.Tests;

public sealed class ModelTests : IAsyncLifetime
{
    private readonly Dictionary<string, byte[]> _files = new()
    {
        ["config.json"] = Encoding.UTF8.GetBytes("{}"),
        ["empty.txt"] = [],
        ["model.safetensors"] = RandomNumberGenerator.GetBytes((2 << 20) + 12345),
        ["original/params.json"] = Encoding.UTF8.GetBytes("{\"dim\": 4}"),
    };

    private RunningService _service = null!;

    public async ValueTask InitializeAsync()
    {
        _service = await StartAsync();
        foreach ((string path, byte[] bytes) in _files)
            await _service.Store.PutBytesAsync($"models/m/{path}", bytes, PutCondition.None, Cancellation);
    }

    public ValueTask DisposeAsync() => _service.DisposeAsync();

    [Fact]
    public async Task A_model_has_its_files_with_sizes_and_digests()
    {
        Model model = await GetAsync("models/m");
        Assert.Equal(_files.Keys.Order(StringComparer.Ordinal), model.Files.Select(f => f.Path));
        foreach (ModelFile file in model.Files)
            Assert.Equal((_files[file.Path].Length, Convert.ToHexStringLower(SHA256.HashData(_files[file.Path]))), (file.SizeBytes, file.Sha256));
        Assert.Equal(_files.Values.Sum(b => b.Length), model.SizeBytes);
        Assert.Equal(model, await GetAsync("models/m"));
    }

    [Fact]
    public async Task A_replaced_file_gets_a_new_digest_whatever_the_cache_says()
    {
        Model before = await GetAsync("models/m");
        await _service.Store.PutTextAsync("models/m/config.json", "[]", Cancellation); // as long as before
        Model after = await GetAsync("models/m");
        Assert.NotEqual(before.ContentHash, after.ContentHash);
        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData("[]"u8)), after.Files.Single(f => f.Path == "config.json").Sha256);
    }

    [Fact]
    public async Task A_damaged_cache_of_digests_harms_nothing()
    {
        Model before = await GetAsync("models/m");
        await _service.Store.PutTextAsync("models/.digests/m.json", "{ nonsense", Cancellation);
        Assert.Equal(before, await GetAsync("models/m"));
    }

    [Fact]
    public async Task Only_whole_models_are_listed()
    {
        await _service.Store.PutTextAsync("models/half/model.safetensors", "x", Cancellation);
        await _service.Store.PutTextAsync("models/z/config.json", "{}", Cancellation);
        await GetAsync("models/m"); // makes the cache
        ListModelsResponse list = await _service.Client.ListModelsAsync(new ListModelsRequest(), cancellationToken: Cancellation);
        Assert.Equal(["models/m", "models/z"], list.Models.Select(m => m.Name));
        Assert.Equal(_files.Values.Sum(b => b.Length), list.Models[0].SizeBytes);
        Assert.Equal(StatusCode.NotFound, (await StatusOf(() => GetAsync("models/half"))).StatusCode);
        foreach (string name in new[] { "m", "models/", "models/.digests", "models/m/original", "models/../m" })
            Assert.Equal(StatusCode.InvalidArgument, (await StatusOf(() => GetAsync(name))).StatusCode);
    }

    [Fact]
    public async Task A_pull_gives_every_file_byte_for_byte_in_chunks_of_a_mebibyte_at_most()
    {
        Model model = await GetAsync("models/m");
        var target = new PulledFiles();
        await target.PullAsync(_service.Client, new PullModelRequest { Name = "models/m", ContentHash = model.ContentHash });
        target.Check(_files);
        Assert.InRange(target.LargestChunk, 1, 1 << 20);
    }

    [Fact]
    public async Task A_broken_pull_is_resumed_where_it_broke()
    {
        Model model = await GetAsync("models/m");
        var target = new PulledFiles();
        // The client goes away in the middle of the large file.
        await target.PullAsync(_service.Client, new PullModelRequest { Name = "models/m", ContentHash = model.ContentHash }, stopAfterChunks: 2);
        Assert.Contains(target.Lengths, l => l.Key == "model.safetensors" && l.Value < _files["model.safetensors"].Length);
        var rest = new PullModelRequest { Name = "models/m", ContentHash = model.ContentHash };
        foreach (ModelFile file in model.Files.Where(f => target.Lengths.GetValueOrDefault(f.Path) < f.SizeBytes || f.SizeBytes == 0))
            rest.Files.Add(new FileRange { Path = file.Path, OffsetBytes = target.Lengths.GetValueOrDefault(file.Path) });
        await target.PullAsync(_service.Client, rest);
        target.Check(_files);
    }

    [Fact]
    public async Task A_pull_of_content_that_was_replaced_is_aborted()
    {
        Model model = await GetAsync("models/m");
        await _service.Store.PutTextAsync("models/m/config.json", "[]", Cancellation);
        Status status = await StatusOf(() => new PulledFiles().PullAsync(_service.Client, new PullModelRequest { Name = "models/m", ContentHash = model.ContentHash }));
        Assert.Equal(StatusCode.Aborted, status.StatusCode);
    }

    [Fact]
    public async Task A_pull_of_an_unknown_file_or_a_place_past_its_end_is_refused()
    {
        Assert.Equal(StatusCode.NotFound, (await PullStatusAsync("none", 0)).StatusCode);
        Assert.Equal(StatusCode.NotFound, (await PullStatusAsync("../m/config.json", 0)).StatusCode);
        Assert.Equal(StatusCode.OutOfRange, (await PullStatusAsync("config.json", 3)).StatusCode);
        Assert.Equal(StatusCode.OutOfRange, (await PullStatusAsync("config.json", -1)).StatusCode);
    }

    private Task<Status> PullStatusAsync(string path, long offset) =>
        StatusOf(() => new PulledFiles().PullAsync(_service.Client, new PullModelRequest { Name = "models/m", Files = { new FileRange { Path = path, OffsetBytes = offset } } }));

    private async Task<Model> GetAsync(string name) => (await _service.Client.GetModelAsync(new GetModelRequest { Name = name }, cancellationToken: Cancellation)).Model;
}
