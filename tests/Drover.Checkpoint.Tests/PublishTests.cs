using System.Text;
using Drover.Formats.Checkpoints;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;
using Grpc.Core;
using static Drover.Checkpoint.Tests.RunningService;

namespace Drover.Checkpoint.Tests;

public sealed class PublishTests : IAsyncLifetime
{
    private RunningService _service = null!;

    public async ValueTask InitializeAsync() => _service = await StartAsync();

    public ValueTask DisposeAsync() => _service.DisposeAsync();

    [Fact]
    public async Task A_sound_checkpoint_is_published_and_is_the_latest()
    {
        string prefix = await _service.WriteCheckpointAsync("r", 10);
        Protocol.Checkpoint.V1.Checkpoint published = await PublishAsync(prefix);
        Assert.Equal((prefix, "r", 10L, 80L, 5120L, 3.25), (published.Name, published.Run, published.Step, published.RowsConsumed, published.TokensSeen, published.Loss));
        Assert.True(published.SizeBytes > 0);
        Assert.Equal(published, await PublishAsync(prefix)); // again is a success
        Assert.Equal(published, (await _service.Client.GetCheckpointAsync(new GetCheckpointRequest { Name = prefix }, cancellationToken: Cancellation)).Checkpoint);
        Assert.Equal(published, await LatestAsync("r"));
        Assert.Contains(prefix, await _service.Store.ReadTextAsync("runs/r/checkpoints/latest.json", Cancellation), StringComparison.Ordinal);
        CheckpointReader reader = await CheckpointReader.OpenAsync(_service.Store, prefix, Cancellation);
        Assert.Equal(published.ManifestHash, reader.ManifestHash);
    }

    [Theory]
    [InlineData("shard-00001.safetensors", -1)]
    [InlineData("shard-00000.safetensors", 20)]
    [InlineData("shard-00000.safetensors", 0)]
    public async Task A_shard_with_a_changed_byte_is_refused_by_name_and_nothing_is_published(string shard, long position)
    {
        string prefix = await _service.WriteCheckpointAsync("r", 10);
        _service.Flip($"{prefix}/{shard}", position);
        await RefusedAsync(prefix, shard);
    }

    [Fact]
    public async Task A_truncated_shard_is_refused_by_name()
    {
        string prefix = await _service.WriteCheckpointAsync("r", 10);
        using (FileStream file = File.Open(_service.PathOf($"{prefix}/shard-00001.safetensors"), FileMode.Open))
            file.SetLength(file.Length - 4);
        await RefusedAsync(prefix, "shard-00001.safetensors");
    }

    [Fact]
    public async Task A_missing_shard_is_refused_by_name()
    {
        string prefix = await _service.WriteCheckpointAsync("r", 10);
        await _service.Store.DeleteAsync($"{prefix}/shard-00000.safetensors", Cancellation);
        await RefusedAsync(prefix, "shard-00000.safetensors");
    }

    [Fact]
    public async Task A_checkpoint_without_a_moment_of_one_weight_is_refused_by_its_name()
    {
        string prefix = await _service.WriteCheckpointAsync("r", 10, leaveOut: (kind, name) => kind == "exp_avg" && name == "model.norm.weight");
        await RefusedAsync(prefix, "exp_avg/model.norm.weight");
    }

    [Theory]
    [InlineData("\"offset\": [\n        8,", "\"offset\": [\n        7,")] // overlap
    [InlineData("\"offset\": [\n            8,", "\"offset\": [\n            9,")] // past the end
    [InlineData("\"step\": 10", "\"step\": 11")]
    [InlineData("\"data_type\": \"F32\"", "\"data_type\": \"BF16\"")]
    [InlineData("exp_avg_sq/model.norm.weight@8", "exp_avg/model.norm.weight@8")] // one place used for two tensors
    public async Task A_manifest_that_does_not_say_what_the_shards_hold_is_refused(string from, string to)
    {
        string prefix = await _service.WriteCheckpointAsync("r", 10);
        string key = $"{prefix}/{CheckpointManifest.PendingFileName}";
        string text = await _service.Store.ReadTextAsync(key, Cancellation);
        // White space aside, so that the cases do not hang on the indentation.
        string flat = Flatten(text);
        Assert.Contains(Flatten(from), flat, StringComparison.Ordinal);
        int at = flat.IndexOf(Flatten(from), StringComparison.Ordinal);
        await _service.Store.PutTextAsync(key, string.Concat(flat.AsSpan(0, at), Flatten(to), flat.AsSpan(at + Flatten(from).Length)), Cancellation);
        await RefusedAsync(prefix, "");
    }

    [Fact]
    public async Task Nothing_to_publish_is_not_found_and_bad_names_are_invalid()
    {
        Assert.Equal(StatusCode.NotFound, (await StatusOf(() => PublishAsync("runs/r/checkpoints/step-00000001"))).StatusCode);
        foreach (string name in new[] { "", "r", "runs/r/checkpoints/step-1", "runs/../checkpoints/step-00000001/../x", "runs/a/b/checkpoints/step-00000001" })
            Assert.Equal(StatusCode.InvalidArgument, (await StatusOf(() => PublishAsync(name))).StatusCode);
    }

    [Fact]
    public async Task Other_content_under_a_published_name_is_refused()
    {
        string prefix = await _service.PublishAsync("r", 10);
        await _service.Store.PutTextAsync($"{prefix}/{CheckpointManifest.PendingFileName}", "{}", Cancellation);
        Assert.Equal(StatusCode.AlreadyExists, (await StatusOf(() => PublishAsync(prefix))).StatusCode);
    }

    [Fact]
    public async Task The_pointer_to_the_latest_only_moves_forward()
    {
        string newer = await _service.PublishAsync("r", 20);
        await _service.PublishAsync("r", 10);
        Assert.Contains(newer, await _service.Store.ReadTextAsync("runs/r/checkpoints/latest.json", Cancellation), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_latest_passes_over_what_is_damaged()
    {
        string first = await _service.PublishAsync("r", 10);
        string second = await _service.PublishAsync("r", 20);
        string third = await _service.PublishAsync("r", 30);
        await _service.WriteCheckpointAsync("r", 40); // never published
        Assert.Equal(third, (await LatestAsync("r")).Name);
        await _service.Store.PutBytesAsync($"{third}/manifest.json", Encoding.UTF8.GetBytes("{\"version\":1,\"ru"), PutCondition.None, Cancellation);
        Assert.Equal(second, (await LatestAsync("r")).Name);
        await _service.Store.DeleteAsync($"{second}/shard-00001.safetensors", Cancellation);
        Assert.Equal(first, (await LatestAsync("r")).Name);
        using (FileStream file = File.Open(_service.PathOf($"{first}/shard-00001.safetensors"), FileMode.Open))
            file.SetLength(10);
        Status none = await StatusOf(() => LatestAsync("r"));
        Assert.Equal(StatusCode.DataLoss, none.StatusCode);
        Assert.Contains("All 3 checkpoints of the run 'r' are damaged", none.Detail, StringComparison.Ordinal);
        Assert.Equal(StatusCode.NotFound, (await StatusOf(() => LatestAsync("other"))).StatusCode);
    }

    [Fact]
    public async Task Verifying_finds_a_changed_byte_that_publishing_could_not_see()
    {
        string prefix = await _service.PublishAsync("r", 10);
        Assert.True((await _service.Client.VerifyCheckpointAsync(new VerifyCheckpointRequest { Name = prefix }, cancellationToken: Cancellation)).Intact);
        _service.Flip($"{prefix}/shard-00000.safetensors", -3);
        VerifyCheckpointResponse verified = await _service.Client.VerifyCheckpointAsync(new VerifyCheckpointRequest { Name = prefix }, cancellationToken: Cancellation);
        Assert.False(verified.Intact);
        Assert.Contains("shard-00000.safetensors", Assert.Single(verified.Problems), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_latest_that_is_verified_passes_over_a_changed_byte_and_says_where_it_is()
    {
        string first = await _service.PublishAsync("r", 10);
        string second = await _service.PublishAsync("r", 20);
        GetLatestCheckpointResponse sound = await _service.Client.GetLatestCheckpointAsync(new GetLatestCheckpointRequest { Run = "r", Verify = true }, cancellationToken: Cancellation);
        Assert.Equal((second, 0), (sound.Checkpoint.Name, sound.PassedOver.Count));
        _service.Flip($"{second}/shard-00001.safetensors", -3);
        Assert.Equal(second, (await LatestAsync("r")).Name);
        GetLatestCheckpointResponse older = await _service.Client.GetLatestCheckpointAsync(new GetLatestCheckpointRequest { Run = "r", Verify = true }, cancellationToken: Cancellation);
        Assert.Equal(first, older.Checkpoint.Name);
        DamagedCheckpoint damaged = Assert.Single(older.PassedOver);
        Assert.Equal(second, damaged.Name);
        Assert.Contains("shard-00001.safetensors", Assert.Single(damaged.Problems), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Lists_come_in_pages_without_gaps_or_repeats()
    {
        foreach (long step in new[] { 1, 2, 3 })
            await _service.PublishAsync("a", step);
        await _service.PublishAsync("b", 1);
        var names = new List<string>();
        var request = new ListCheckpointsRequest { PageSize = 2 };
        do
        {
            ListCheckpointsResponse page = await _service.Client.ListCheckpointsAsync(request, cancellationToken: Cancellation);
            Assert.InRange(page.Checkpoints.Count, 1, 2);
            names.AddRange(page.Checkpoints.Select(c => c.Name));
            request.PageToken = page.NextPageToken;
        }
        while (request.PageToken.Length > 0);
        Assert.Equal(["runs/a/checkpoints/step-00000001", "runs/a/checkpoints/step-00000002", "runs/a/checkpoints/step-00000003", "runs/b/checkpoints/step-00000001"], names);
        Assert.Single((await _service.Client.ListCheckpointsAsync(new ListCheckpointsRequest { Run = "b" }, cancellationToken: Cancellation)).Checkpoints);
        Assert.Equal(StatusCode.InvalidArgument, (await StatusOf(async () => await _service.Client.ListCheckpointsAsync(new ListCheckpointsRequest { Run = "../a" }, cancellationToken: Cancellation))).StatusCode);
    }

    private async Task RefusedAsync(string prefix, string named)
    {
        Status status = await StatusOf(() => PublishAsync(prefix));
        Assert.Equal(StatusCode.DataLoss, status.StatusCode);
        Assert.Contains(named, status.Detail, StringComparison.Ordinal);
        Assert.Null(await _service.Store.FindAsync($"{prefix}/manifest.json", Cancellation));
        Assert.Equal(StatusCode.NotFound, (await StatusOf(() => LatestAsync("r"))).StatusCode);
    }

    private static string Flatten(string json) => string.Concat(json.Where(c => !char.IsWhiteSpace(c)));

    private async Task<Protocol.Checkpoint.V1.Checkpoint> PublishAsync(string prefix) =>
        (await _service.Client.PublishCheckpointAsync(new PublishCheckpointRequest { Checkpoint = prefix }, cancellationToken: Cancellation)).Checkpoint;

    private async Task<Protocol.Checkpoint.V1.Checkpoint> LatestAsync(string run) =>
        (await _service.Client.GetLatestCheckpointAsync(new GetLatestCheckpointRequest { Run = run }, cancellationToken: Cancellation)).Checkpoint;
}
