using System.Net;
using System.Net.Http.Headers;
using System.Text.Json.Nodes;
using Drover.Hosting.Security;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;

namespace Drover.Checkpoint.Tests;

/// <summary>The Hub's API over HTTP: what is rendered, how it is asked for, and what is refused.</summary>
public sealed class HubTests : IAsyncLifetime
{
    private RunningService _service = null!;
    private HttpClient _http = null!;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _service = await RunningService.StartAsync();
        _http = new HttpClient { BaseAddress = new Uri(_service.Hub) };
    }

    public ValueTask DisposeAsync()
    {
        _http.Dispose();
        return _service.DisposeAsync();
    }

    [Theory]
    [InlineData(ExportDataType.Bf16, "")]
    [InlineData(ExportDataType.Fp32, ":fp32")]
    [InlineData(ExportDataType.Fp16, ":fp16")]
    public async Task A_checkpoint_is_rendered_as_its_export_is_written_and_any_range_of_it(ExportDataType type, string form)
    {
        string checkpoint = await _service.PublishAsync("r", 1, tied: true);
        Model model = await _service.ExportWellAsync(new ExportSpec { Name = "m", Checkpoint = checkpoint, DataType = type });
        var random = new Random(4);
        foreach (ModelFile file in model.Files.Where(f => f.Path != "README.md"))
        {
            byte[] expected = await _service.Store.ReadAllBytesAsync($"models/m/{file.Path}", Cancellation);
            string address = $"/runs/r/resolve/step-1{form}/{file.Path}";
            Assert.Equal(expected, await _http.GetByteArrayAsync(address, Cancellation));
            for (int i = 0; i < 12; i++)
            {
                int from = random.Next(expected.Length), to = random.Next(from, expected.Length);
                using HttpResponseMessage part = await RangeAsync(address, from, to);
                Assert.Equal((HttpStatusCode.PartialContent, expected.Length), (part.StatusCode, (int)part.Content.Headers.ContentRange!.Length!));
                Assert.Equal(expected[from..(to + 1)], await part.Content.ReadAsByteArrayAsync(Cancellation));
            }
        }
    }

    [Fact]
    public async Task Head_tells_size_tag_and_commit_of_what_get_gives()
    {
        await _service.PublishAsync("r", 1);
        using HttpResponseMessage head = await SendAsync(HttpMethod.Head, "/runs/r/resolve/main/model.safetensors");
        using HttpResponseMessage get = await SendAsync(HttpMethod.Get, "/runs/r/resolve/main/model.safetensors");
        Assert.Equal(HttpStatusCode.OK, head.StatusCode);
        Assert.Empty(await head.Content.ReadAsByteArrayAsync(Cancellation));
        Assert.Equal((await get.Content.ReadAsByteArrayAsync(Cancellation)).Length, head.Content.Headers.ContentLength);
        Assert.Equal(get.Headers.ETag, head.Headers.ETag);
        string commit = Header(head, "X-Repo-Commit");
        Assert.Matches("^[0-9a-f]{40}$", commit);
        Assert.Equal(head.Headers.ETag!.Tag, Header(head, "X-Linked-Etag"));

        // A commit goes on meaning what it meant when there is a newer checkpoint.
        await _service.PublishAsync("r", 2);
        using HttpResponseMessage old = await SendAsync(HttpMethod.Head, $"/runs/r/resolve/{commit}/model.safetensors");
        using HttpResponseMessage now = await SendAsync(HttpMethod.Head, "/runs/r/resolve/main/model.safetensors");
        Assert.Equal(head.Headers.ETag, old.Headers.ETag);
        Assert.NotEqual(head.Headers.ETag, now.Headers.ETag);
        Assert.NotEqual(commit, Header(now, "X-Repo-Commit"));
    }

    [Fact]
    public async Task Ranges_and_conditions_are_those_of_http()
    {
        await _service.PublishAsync("r", 1);
        const string address = "/r/step-1/resolve/main/config.json";
        byte[] whole = await _http.GetByteArrayAsync(address, Cancellation);
        async Task<HttpResponseMessage> AskAsync(string name, string value)
        {
            var request = new HttpRequestMessage(HttpMethod.Get, address);
            request.Headers.TryAddWithoutValidation(name, value);
            return await _http.SendAsync(request, Cancellation);
        }

        using HttpResponseMessage last = await AskAsync("Range", "bytes=-7"), open = await AskAsync("Range", "bytes=5-"), far = await AskAsync("Range", $"bytes=5-{long.MaxValue}"), past = await AskAsync("Range", $"bytes={whole.Length}-");
        Assert.Equal(whole[^7..], await last.Content.ReadAsByteArrayAsync(Cancellation));
        Assert.Equal(whole[5..], await open.Content.ReadAsByteArrayAsync(Cancellation));
        Assert.Equal(whole[5..], await far.Content.ReadAsByteArrayAsync(Cancellation));
        Assert.Equal((HttpStatusCode.RequestedRangeNotSatisfiable, whole.Length), (past.StatusCode, (int)past.Content.Headers.ContentRange!.Length!));
        using HttpResponseMessage same = await AskAsync("If-None-Match", last.Headers.ETag!.Tag), other = await AskAsync("If-None-Match", "\"x\"");
        Assert.Equal((HttpStatusCode.NotModified, HttpStatusCode.OK), (same.StatusCode, other.StatusCode));

        // Part of what was replaced since would be of no use: the whole comes.
        var request = new HttpRequestMessage(HttpMethod.Get, address) { Headers = { Range = new RangeHeaderValue(5, 9), IfRange = new RangeConditionHeaderValue(new EntityTagHeaderValue("\"old\"")) } };
        using HttpResponseMessage replaced = await _http.SendAsync(request, Cancellation);
        Assert.Equal((HttpStatusCode.OK, whole.Length), (replaced.StatusCode, (int)replaced.Content.Headers.ContentLength!));
    }

    [Fact]
    public async Task Steps_tags_latest_and_best_are_revisions()
    {
        await _service.PublishAsync("r", 1);
        string second = await _service.PublishAsync("r", 2);
        await _service.Client.TagCheckpointAsync(new TagCheckpointRequest { Checkpoint = second, Tag = "v1.0" }, cancellationToken: Cancellation);
        await _service.PublishAsync("r", 3);
        async Task<int> StepAsync(string id, string revision) =>
            JsonNode.Parse(await _http.GetStringAsync($"/{id}/resolve/{Uri.EscapeDataString(revision)}/drover.json", Cancellation))!["step"]!.GetValue<int>();
        (string Id, string Revision, int Step)[] cases = [("runs/r", "main", 3), ("runs/r", "latest", 3), ("runs/r", "1", 1), ("runs/r", "step-1", 1), ("runs/r", "v1.0", 2), ("runs/r", "v1.0:fp32", 2), ("r/step-1", "main", 1), ("r/v1.0", "main", 2)];
        foreach ((string id, string revision, int step) in cases)
            Assert.Equal(step, await StepAsync(id, revision));
        JsonNode refs = JsonNode.Parse(await _http.GetStringAsync("/api/models/runs/r/refs", Cancellation))!;
        Assert.Equal(["step-1", "step-2", "step-3", "v1.0"], refs["tags"]!.AsArray().Select(t => t!["name"]!.GetValue<string>()));
    }

    [Fact]
    public async Task The_tree_comes_in_pages_that_link_to_the_host_that_was_asked()
    {
        string checkpoint = await _service.PublishAsync("r", 1);
        await _service.ExportWellAsync(new ExportSpec { Name = "m", Checkpoint = checkpoint, MaxShardBytes = 2000 });
        await _service.Store.PutTextAsync("models/m/onnx/a/x.txt", "x", Cancellation);
        JsonNode all = JsonNode.Parse(await _http.GetStringAsync("/api/models/models/m/tree/main?recursive=true", Cancellation))!;
        string[] expected = [.. all.AsArray().Select(e => e!["path"]!.GetValue<string>())];
        Assert.Equal(["onnx", "onnx/a", "onnx/a/x.txt"], expected.Where(p => p.StartsWith("onnx", StringComparison.Ordinal)));
        var paged = new List<string>();
        string? next = "/api/models/models/m/tree/main?recursive=true&limit=2";
        while (next is not null)
        {
            var request = new HttpRequestMessage(HttpMethod.Get, next) { Headers = { Host = "proxy.example:99" } };
            using HttpResponseMessage page = await _http.SendAsync(request, Cancellation);
            paged.AddRange(JsonNode.Parse(await page.Content.ReadAsStringAsync(Cancellation))!.AsArray().Select(e => e!["path"]!.GetValue<string>()));
            next = page.Headers.TryGetValues("Link", out IEnumerable<string>? links) ? links.Single() : null;
            if (next is not null)
            {
                Assert.StartsWith("<http://proxy.example:99/api/models/models/m/tree/main?", next, StringComparison.Ordinal);
                next = next["<http://proxy.example:99".Length..next.IndexOf('>', StringComparison.Ordinal)];
            }
        }

        Assert.Equal(expected, paged);
        Assert.DoesNotContain("onnx/a", JsonNode.Parse(await _http.GetStringAsync("/api/models/m/tree/main", Cancellation))!.AsArray().Select(e => e!["path"]!.GetValue<string>()));
        using var body = new FormUrlEncodedContent([new("paths", "config.json"), new("paths", "none")]);
        using HttpResponseMessage info = await _http.PostAsync(new Uri("/api/models/m/paths-info/main", UriKind.Relative), body, Cancellation);
        Assert.Equal("config.json", Assert.Single(JsonNode.Parse(await info.Content.ReadAsStringAsync(Cancellation))!.AsArray())!["path"]!.GetValue<string>());
    }

    [Theory]
    [InlineData("/nothing/resolve/main/config.json", "RepoNotFound")]
    [InlineData("/runs/nothing/resolve/main/config.json", "RepoNotFound")]
    [InlineData("/nothing/step-1/resolve/main/config.json", "RepoNotFound")]
    [InlineData("/runs/r/resolve/step-9/config.json", "RevisionNotFound")]
    [InlineData("/runs/r/resolve/v2/config.json", "RevisionNotFound")]
    [InlineData("/runs/r/resolve/step-1:int8/config.json", "RevisionNotFound")]
    [InlineData("/runs/r/resolve/0000000000000000000000000000000000000000/config.json", "RevisionNotFound")]
    [InlineData("/runs/r/resolve/main/pytorch_model.bin", "EntryNotFound")]
    [InlineData("/runs/r/resolve/main/..%2f..%2fcheckpoints%2fstep-00000001%2fshard-00000.safetensors", "EntryNotFound")]
    [InlineData("/runs/r/resolve/..%2fstep-1/config.json", "RevisionNotFound")]
    [InlineData("/runs/..%2f..%2fetc/resolve/main/passwd", "RepoNotFound")]
    [InlineData("/models/..%2fruns/resolve/main/config.json", "RepoNotFound")]
    [InlineData("/api/models/nothing", "RepoNotFound")]
    [InlineData("/api/models/runs/r/tree/main/none", "EntryNotFound")]
    public async Task What_is_not_there_is_told_as_the_hub_tells_it(string address, string code)
    {
        await _service.PublishAsync("r", 1);
        using HttpResponseMessage response = await SendAsync(HttpMethod.Get, address);
        Assert.Equal((HttpStatusCode.NotFound, code), (response.StatusCode, Header(response, "X-Error-Code")));
        Assert.Equal(code == "EntryNotFound", response.Headers.Contains("X-Repo-Commit"));
    }

    [Fact]
    public async Task What_was_written_and_not_published_cannot_be_pulled()
    {
        await _service.PublishAsync("r", 1);
        await _service.WriteCheckpointAsync("r", 2);
        using HttpResponseMessage pending = await SendAsync(HttpMethod.Get, "/runs/r/resolve/step-2/config.json");
        Assert.Equal(HttpStatusCode.NotFound, pending.StatusCode);
        Assert.Contains("not published", Header(pending, "X-Error-Message"), StringComparison.Ordinal);
        Assert.Equal(1, JsonNode.Parse(await _http.GetStringAsync("/runs/r/resolve/main/drover.json", Cancellation))!["step"]!.GetValue<int>());
    }

    [Fact]
    public async Task A_key_of_Drover_with_the_scope_to_pull_is_what_opens_it()
    {
        await using RunningService service = await RunningService.StartAsync("--Security:Authentication=keys");
        await service.Store.PutTextAsync("models/m/config.json", "{}", Cancellation);
        string puller = await AddKeyAsync(service, "0000000a", Scopes.Pull), reader = await AddKeyAsync(service, "0000000b", Scopes.Read), admin = await AddKeyAsync(service, "0000000c", Scopes.Admin);
        async Task<HttpStatusCode> AskAsync(string address, string? key)
        {
            var request = new HttpRequestMessage(HttpMethod.Get, $"{service.Hub}/{address}");
            if (key is not null)
                request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", key);
            using HttpResponseMessage response = await _http.SendAsync(request, Cancellation);
            return response.StatusCode;
        }

        foreach (string address in new[] { "m/resolve/main/config.json", "api/models/m", "api/whoami-v2" })
        {
            Assert.Equal([HttpStatusCode.OK, HttpStatusCode.OK], [await AskAsync(address, puller), await AskAsync(address, admin)]);
            Assert.Equal(HttpStatusCode.Forbidden, await AskAsync(address, reader));
            foreach (string? wrong in new[] { null, "hf_other", "", puller[..^1] + (puller[^1] == '0' ? '1' : '0') })
                Assert.Equal(HttpStatusCode.Unauthorized, await AskAsync(address, wrong));
        }
    }

    private static async Task<string> AddKeyAsync(RunningService service, string id, Scopes scopes)
    {
        (ApiKey key, string text) = ApiKey.Make(id, "test", scopes, DateTimeOffset.UtcNow, expires: null);
        await new ApiKeyStore(service.Store, TimeProvider.System).AddAsync(key, Cancellation);
        return text;
    }

    private async Task<HttpResponseMessage> RangeAsync(string address, long from, long to) =>
        await _http.SendAsync(new HttpRequestMessage(HttpMethod.Get, address) { Headers = { Range = new RangeHeaderValue(from, to) } }, Cancellation);

    private async Task<HttpResponseMessage> SendAsync(HttpMethod method, string address) => await _http.SendAsync(new HttpRequestMessage(method, address), Cancellation);

    private static string Header(HttpResponseMessage response, string name) => response.Headers.TryGetValues(name, out IEnumerable<string>? values) ? values.Single() : "";
}
