using System.Text.Json.Nodes;
using Drover.Checkpoint.Models;
using Drover.Errors;
using Drover.Hosting.Security;
using Drover.Protocol.Checkpoint.V1;

namespace Drover.Checkpoint.Hub;

/// <summary>
/// The read side of the Hub's HTTP API, as far as huggingface_hub and transformers ask for it: files of a repository at a revision
/// (HEAD and GET, ranges), what it is, its tree, its branches and tags. HF_ENDPOINT=http://host:7581 makes a client come here,
/// and HF_TOKEN is its key, with the scope to pull.
/// </summary>
internal sealed partial class HubEndpoints(HubRevisions revisions, ModelCatalog models, ModelPull pull, ILogger<HubEndpoints> logger)
{
    private const int DefaultTreePage = 1000;

    /// <summary>Adds the routes. Ids are of one part or two.</summary>
    public void Map(IEndpointRouteBuilder routes)
    {
        RouteGroupBuilder app = routes.MapGroup("").RequireScopes(Scopes.Pull);
        foreach (string id in (string[])["{name}", "{owner}/{name}"])
        {
            app.MapMethods($"/{id}/resolve/{{revision}}/{{**file}}", ["GET", "HEAD"], Answer(ResolveAsync));
            app.MapGet($"/api/models/{id}", Answer(context => DescribeAsync(context, HubRevisions.Main)));
            app.MapGet($"/api/models/{id}/revision/{{revision}}", Answer(context => DescribeAsync(context, Value(context, "revision"))));
            app.MapGet($"/api/models/{id}/tree/{{revision}}/{{**path}}", Answer(TreeAsync));
            app.MapPost($"/api/models/{id}/paths-info/{{revision}}", Answer(PathsAsync));
            app.MapGet($"/api/models/{id}/refs", Answer(RefsAsync));
        }

        app.MapGet("/api/models", Answer(ListAsync));
        app.MapGet("/api/whoami-v2", Answer(WhoAsync));
    }

    private RequestDelegate Answer(Func<HttpContext, Task> work) => async context =>
    {
        try
        {
            await work(context).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            // The client went away.
        }
        catch (Exception e) when (context.Response.HasStarted)
        {
            // The length is promised already: a cut connection is what tells the client.
            LogBroken(context.Request.Path, e);
            context.Abort();
        }
        catch (DroverException e)
        {
            await HubFailure.WriteAsync(context, e).ConfigureAwait(false);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            LogBroken(context.Request.Path, e);
            await HubFailure.WriteAsync(context, new DroverException(FailureCode.Internal, "INTERNAL", "It failed inside Drover. The service's log has the details.")).ConfigureAwait(false);
        }
    };

    private async Task ResolveAsync(HttpContext context)
    {
        (string id, string revision, string path) = (Id(context), Value(context, "revision"), Value(context, "file"));
        HubRepository repository = await revisions.OpenAsync(id, revision, context.RequestAborted).ConfigureAwait(false);
        // Also beside "there is no such file": clients remember that, by commit.
        context.Response.Headers["X-Repo-Commit"] = repository.Commit;
        HubFile file = repository.Find(path) ?? throw NoEntry(id, revision, path);
        // Not what is small: a client asks for it more quickly than it follows.
        if (file.Key is not null && HubDownload.IsLarge(file) && await pull.AddressOfAsync(file.Key, context.RequestAborted).ConfigureAwait(false) is { } address)
            HubDownload.Redirect(context, file, address);
        else
            await HubDownload.SendAsync(context, file).ConfigureAwait(false);
    }

    private async Task DescribeAsync(HttpContext context, string revision)
    {
        HubRepository repository = await revisions.OpenAsync(Id(context), revision, context.RequestAborted).ConfigureAwait(false);
        JsonNode[] siblings = [.. repository.Files.Select(f => context.Request.Query["blobs"] == "true" || context.Request.Query["blobs"] == "True" ? Entry(f, "rfilename") : new JsonObject { ["rfilename"] = f.Path })];
        await WriteAsync(context, Info(repository.Id, repository.Commit, siblings)).ConfigureAwait(false);
    }

    private async Task TreeAsync(HttpContext context)
    {
        (string id, string revision) = (Id(context), Value(context, "revision"));
        string folder = Value(context, "path").Trim('/');
        HubRepository repository = await revisions.OpenAsync(id, revision, context.RequestAborted).ConfigureAwait(false);
        context.Response.Headers["X-Repo-Commit"] = repository.Commit;
        bool recursive = string.Equals(context.Request.Query["recursive"], "true", StringComparison.OrdinalIgnoreCase) || context.Request.Query["recursive"] == "1";
        List<JsonObject> entries = HubTree.Of(repository.Files, folder, recursive, Entry);
        if (folder.Length > 0 && entries.Count == 0)
            throw NoEntry(id, revision, folder);
        string after = context.Request.Query["cursor"].ToString();
        int limit = int.TryParse(context.Request.Query["limit"], out int asked) && asked > 0 ? Math.Min(asked, DefaultTreePage) : DefaultTreePage;
        JsonObject[] page = [.. entries.Where(e => string.CompareOrdinal(e["path"]!.GetValue<string>(), after) > 0).Take(limit + 1)];
        if (page.Length > limit)
        {
            page = page[..limit];
            string last = Uri.EscapeDataString(page[^1]["path"]!.GetValue<string>());
            // Absolute, and of the host that was asked: a client behind a proxy must come back the same way.
            context.Response.Headers.Link = $"<{context.Request.Scheme}://{context.Request.Host}{context.Request.Path.ToUriComponent()}?recursive={(recursive ? "true" : "false")}&limit={limit}&cursor={last}>; rel=\"next\"";
        }

        await WriteAsync(context, new JsonArray([.. page])).ConfigureAwait(false);
    }

    private async Task PathsAsync(HttpContext context)
    {
        HubRepository repository = await revisions.OpenAsync(Id(context), Value(context, "revision"), context.RequestAborted).ConfigureAwait(false);
        string[] paths = await HubPaths.ReadAsync(context).ConfigureAwait(false);
        await WriteAsync(context, new JsonArray([.. paths.Select(repository.Find).OfType<HubFile>().Select(f => Entry(f, "path"))])).ConfigureAwait(false);
    }

    private async Task RefsAsync(HttpContext context)
    {
        string id = Id(context);
        HubRepository repository = await revisions.OpenAsync(id, HubRevisions.Main, context.RequestAborted).ConfigureAwait(false);
        var tags = new JsonArray();
        foreach (string name in await revisions.NamesAsync(id, context.RequestAborted).ConfigureAwait(false))
            tags.Add(new JsonObject { ["name"] = name, ["ref"] = $"refs/tags/{name}", ["targetCommit"] = (await revisions.OpenAsync(id, name, context.RequestAborted).ConfigureAwait(false)).Commit });
        await WriteAsync(context, new JsonObject
        {
            ["branches"] = new JsonArray(new JsonObject { ["name"] = HubRevisions.Main, ["ref"] = "refs/heads/main", ["targetCommit"] = repository.Commit }),
            ["tags"] = tags,
            ["converts"] = new JsonArray(),
        }).ConfigureAwait(false);
    }

    private async Task ListAsync(HttpContext context)
    {
        var all = new JsonArray();
        string search = context.Request.Query["search"].ToString(), page = "";
        do
        {
            ListModelsResponse answer = await models.ListAsync(1000, page, context.RequestAborted).ConfigureAwait(false);
            foreach (Model model in answer.Models.Where(m => m.Name.Contains(search, StringComparison.OrdinalIgnoreCase)))
                all.Add(Info(model.Name, null, []));
            page = answer.NextPageToken;
        }
        while (page.Length > 0);
        await WriteAsync(context, all).ConfigureAwait(false);
    }

    private static Task WhoAsync(HttpContext context) =>
        WriteAsync(context, new JsonObject { ["type"] = "user", ["id"] = "drover", ["name"] = "drover", ["fullname"] = "Drover", ["email"] = "", ["orgs"] = new JsonArray(), ["auth"] = new JsonObject { ["accessToken"] = new JsonObject { ["role"] = "read" } } });

    private static JsonObject Info(string id, string? commit, JsonNode[] siblings)
    {
        var info = new JsonObject
        {
            ["_id"] = HubFile.Digest(id)[..24],
            ["id"] = id,
            ["modelId"] = id,
            ["private"] = false,
            ["gated"] = false,
            ["disabled"] = false,
            ["downloads"] = 0,
            ["likes"] = 0,
            ["library_name"] = "transformers",
            ["pipeline_tag"] = "text-generation",
            ["tags"] = new JsonArray("transformers", "safetensors", "llama", "text-generation", "drover"),
            ["siblings"] = new JsonArray(siblings),
        };
        if (commit is not null)
            info["sha"] = commit;
        return info;
    }

    private static JsonObject Entry(HubFile file, string pathName)
    {
        var entry = new JsonObject { ["type"] = "file", [pathName] = file.Path, ["oid"] = file.Tag[..40], ["size"] = file.Size };
        // Tags of what is rendered are no digests of its bytes: who wants one looks here.
        entry["sha256"] = file.Key is null ? null : file.Tag;
        if (pathName == "rfilename")
            entry["blobId"] = file.Tag[..40];
        if (HubDownload.IsLarge(file))
            entry["lfs"] = new JsonObject { ["oid"] = file.Tag, ["sha256"] = file.Tag, ["size"] = file.Size, ["pointerSize"] = 134 };
        return entry;
    }

    private static string Id(HttpContext context) =>
        context.Request.RouteValues.TryGetValue("owner", out object? owner) && owner is string first ? $"{first}/{Value(context, "name")}" : Value(context, "name");

    // Slashes within a part stay escaped on their way through the router.
    private static string Value(HttpContext context, string name) => Uri.UnescapeDataString((string?)context.Request.RouteValues[name] ?? "");

    private static async Task WriteAsync(HttpContext context, JsonNode json)
    {
        context.Response.ContentType = "application/json; charset=utf-8";
        await context.Response.WriteAsync(json.ToJsonString(), context.RequestAborted).ConfigureAwait(false);
    }

    private static DroverException NoEntry(string id, string revision, string path) =>
        new(FailureCode.NotFound, "ENTRY_NOT_FOUND", $"'{id}' at revision '{revision}' has no file '{path}'.");

    [LoggerMessage(1, LogLevel.Warning, "{Path} was not answered whole")]
    private partial void LogBroken(string path, Exception exception);
}
