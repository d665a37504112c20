using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Drover.Testing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Drover.Checkpoint.Tests;

/// <summary>
/// Answers as huggingface.co does where that is otherwise than Drover's own: large files lie on another host, to which requests are
/// redirected, small ones have git's digests, and a token is asked for.
/// </summary>
internal sealed class StandInHub : IAsyncDisposable
{
    public const string Commit = "0123456789abcdef0123456789abcdef01234567";
    private readonly WebApplication _app, _store;

    private StandInHub()
    {
        (_app, Address) = Build();
        (_store, StoreAddress) = Build();
        _app.MapGet("/api/models/{owner}/{name}/revision/{revision}", (Delegate)Describe);
        _app.MapGet("/{owner}/{name}/resolve/{revision}/{file}", (Delegate)ResolveAsync);
        _store.MapGet("/blobs/{file}", (Delegate)GiveAsync);
    }

    public string Address { get; }

    public string StoreAddress { get; }

    public SortedDictionary<string, byte[]> Files { get; } = new(StringComparer.Ordinal);

    /// <summary>What comes in place of a file, whatever its digest.</summary>
    public Dictionary<string, byte[]> Sent { get; } = [];

    public string Token { get; set; } = "";

    /// <summary>How many answers of the other host break off in the middle.</summary>
    public int Breaks { get; set; }

    /// <summary>"HOST path range token".</summary>
    public ConcurrentQueue<string> Requests { get; } = [];

    public static async Task<StandInHub> StartAsync()
    {
        var hub = new StandInHub();
        await hub._app.StartAsync(TestContext.Current.CancellationToken);
        await hub._store.StartAsync(TestContext.Current.CancellationToken);
        return hub;
    }

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        await _store.DisposeAsync();
    }

    private static (WebApplication App, string Address) Build()
    {
        string address = $"http://127.0.0.1:{LoopbackPort.Free()}";
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseUrls(address);
        builder.Logging.ClearProviders();
        return (builder.Build(), address);
    }

    private bool LetsIn(HttpContext context)
    {
        Requests.Enqueue($"hub {context.Request.Path} {context.Request.Headers.Range} {context.Request.Headers.Authorization}");
        return Token.Length == 0 || context.Request.Headers.Authorization == $"Bearer {Token}";
    }

    [SuppressMessage("Security", "CA5350", Justification = "It is git's digest.")]
    private IResult Describe(HttpContext context)
    {
        if (!LetsIn(context))
            return Results.Unauthorized();
        var siblings = new JsonArray();
        foreach ((string path, byte[] bytes) in Files)
        {
            var entry = new JsonObject { ["rfilename"] = path, ["size"] = bytes.Length, ["blobId"] = Convert.ToHexStringLower(SHA1.HashData([.. Encoding.ASCII.GetBytes($"blob {bytes.Length}\0"), .. bytes])) };
            if (IsLarge(path))
                entry["lfs"] = new JsonObject { ["sha256"] = Convert.ToHexStringLower(SHA256.HashData(bytes)), ["size"] = bytes.Length, ["pointerSize"] = 134 };
            siblings.Add(entry);
        }

        return Results.Text(new JsonObject { ["id"] = "o/m", ["sha"] = Commit, ["siblings"] = siblings }.ToJsonString(), "application/json");
    }

    private async Task ResolveAsync(HttpContext context, string file)
    {
        if (!LetsIn(context))
            context.Response.StatusCode = 401;
        else if (IsLarge(file))
            context.Response.Redirect($"{StoreAddress}/blobs/{file}");
        else
            await context.Response.Body.WriteAsync(Sent.GetValueOrDefault(file, Files[file]));
    }

    private async Task GiveAsync(HttpContext context, string file)
    {
        Requests.Enqueue($"store {file} {context.Request.Headers.Range} {context.Request.Headers.Authorization}");
        byte[] bytes = Sent.GetValueOrDefault(file, Files[file]);
        int from = (int)(context.Request.GetTypedHeaders().Range?.Ranges.Single().From ?? 0);
        context.Response.Headers.ETag = "\"blob\"";
        context.Response.ContentLength = bytes.Length - from;
        if (from > 0)
        {
            context.Response.StatusCode = 206;
            context.Response.Headers.ContentRange = $"bytes {from}-{bytes.Length - 1}/{bytes.Length}";
        }

        if (Breaks-- <= 0)
        {
            await context.Response.Body.WriteAsync(bytes.AsMemory(from));
            return;
        }

        await context.Response.Body.WriteAsync(bytes.AsMemory(from, (bytes.Length - from) / 2));
        await context.Response.Body.FlushAsync();
        await Task.Delay(100);
        context.Abort();
    }

    private static bool IsLarge(string path) => path.EndsWith(".safetensors", StringComparison.Ordinal);
}
