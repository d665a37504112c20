using System.Reflection;
using Drover.Hosting.Security;

namespace Drover.Gateway.Dashboard;

/// <summary>
/// The dashboard: a page of files that lie in this assembly and ask for nothing elsewhere. It holds no data: its user gives it a key, and
/// it calls the JSON API with it.
/// </summary>
internal static class DashboardPages
{
    private const string Prefix = "dashboard/";

    // Scripts and styles of our own only, no frames, no plug-ins: nothing that a log line says can become a script.
    private const string Policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    private static readonly Dictionary<string, string> Types = new(StringComparer.Ordinal)
    {
        [".html"] = "text/html; charset=utf-8",
        [".css"] = "text/css; charset=utf-8",
        [".js"] = "text/javascript; charset=utf-8",
        [".svg"] = "image/svg+xml",
    };

    private static readonly Dictionary<string, byte[]> Files = Read();

    public static void MapDashboard(this WebApplication app)
    {
        app.MapGet("/", (HttpContext context) => Answer(context, "index.html")).IsOpenToAll();
        app.MapGet("/dashboard/{file}", (HttpContext context, string file) => Answer(context, file)).IsOpenToAll();
    }

    private static IResult Answer(HttpContext context, string file)
    {
        if (!Files.TryGetValue(file, out byte[]? content))
            return Results.NotFound();
        context.Response.Headers.ContentSecurityPolicy = Policy;
        context.Response.Headers.XContentTypeOptions = "nosniff";
        context.Response.Headers["Referrer-Policy"] = "no-referrer";
        context.Response.Headers.CacheControl = "no-cache";
        return Results.Bytes(content, Types[Path.GetExtension(file)]);
    }

    private static Dictionary<string, byte[]> Read()
    {
        Assembly assembly = typeof(DashboardPages).Assembly;
        return assembly.GetManifestResourceNames().Where(name => name.StartsWith(Prefix, StringComparison.Ordinal)).ToDictionary(
            name => name[Prefix.Length..],
            name =>
            {
                using Stream content = assembly.GetManifestResourceStream(name)!;
                using var bytes = new MemoryStream();
                content.CopyTo(bytes);
                return bytes.ToArray();
            },
            StringComparer.Ordinal);
    }
}
