using Drover.Hosting.Security;

namespace Drover.Gateway.Json;

/// <summary>Maps the JSON form of every RPC and its description.</summary>
internal static class JsonApi
{
    public static void MapJsonApi(this WebApplication app)
    {
        // No scope is named: the middleware takes it from the RPC's name, the last part of the path.
        app.MapPost("/v1/rpc/{service}/{method}", (HttpContext context, string service, string method, JsonRpc rpc) => rpc.HandleAsync(context, service, method));
        app.MapGet("/openapi.json", () => Results.Text(OpenApi.Document, "application/json")).RequireScopes(Scopes.Read | Scopes.Pull | Scopes.Submit);
        app.MapGet("/healthz", () => Results.Text("serving", "text/plain")).IsOpenToAll();
    }
}
