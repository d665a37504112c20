using System.Text.Json;
using Drover.Errors;

namespace Drover.Checkpoint.Hub;

/// <summary>The paths that a request names in its body: a form ("paths=a&amp;paths=b") or JSON ({"paths": ["a", "b"]}).</summary>
internal static class HubPaths
{
    private const int MaxBytes = 1 << 20;

    /// <summary>Reads them.</summary>
    /// <exception cref="DroverException">InvalidArgument.</exception>
    public static async Task<string[]> ReadAsync(HttpContext context)
    {
        if (context.Request.ContentLength is > MaxBytes)
            throw Bad("it is too long");
        if (context.Request.HasFormContentType)
            return [.. (await context.Request.ReadFormAsync(context.RequestAborted).ConfigureAwait(false))["paths"].OfType<string>()];
        try
        {
            using JsonDocument body = await JsonDocument.ParseAsync(context.Request.Body, default, context.RequestAborted).ConfigureAwait(false);
            JsonElement paths = body.RootElement.GetProperty("paths");
            return paths.ValueKind == JsonValueKind.String ? [paths.GetString()!] : [.. paths.EnumerateArray().Select(p => p.GetString()!)];
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException)
        {
            throw Bad(e.Message);
        }
    }

    private static DroverException Bad(string why) => new(FailureCode.InvalidArgument, "INVALID_PATHS", $"The body must name paths: {why}.");
}
