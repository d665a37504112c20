using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Drover.Hosting.Security;

/// <summary>
/// Who did what: a line of JSON for every call that changes something or fetches a model, when it ends, and for every refusal. Never the
/// content of a call, never a key.
/// </summary>
public sealed class AuditLog : IDisposable
{
    private readonly Lock _gate = new();
    private readonly FileStream? _file;
    private readonly string _service;
    private readonly TimeProvider _time;

    /// <summary>Opens the file to append to it; "none" for nowhere.</summary>
    public AuditLog(string service, string path, TimeProvider time)
    {
        _service = service;
        _time = time;
        if (path == "none")
            return;
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        var options = new FileStreamOptions { Mode = FileMode.Append, Access = FileAccess.Write, Share = FileShare.ReadWrite | FileShare.Delete };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        _file = new FileStream(path, options);
    }

    /// <summary>Writes of a call that ended.</summary>
    public void Ended(HttpContext context, string rpc, Caller caller) => Write(context, rpc, caller.Id, caller.Name, StatusOf(context), "");

    /// <summary>Writes of a call that was refused.</summary>
    public void Refused(HttpContext context, string rpc, Caller? caller, string reason) => Write(context, rpc, caller?.Id ?? "", caller?.Name ?? "", "refused", reason);

    /// <inheritdoc />
    public void Dispose() => _file?.Dispose();

    private void Write(HttpContext context, string rpc, string id, string name, string status, string reason)
    {
        if (_file is null)
            return;
        using var line = new MemoryStream();
        using (var json = new Utf8JsonWriter(line))
        {
            json.WriteStartObject();
            json.WriteString("time", _time.GetUtcNow());
            json.WriteString("service", _service);
            json.WriteString("rpc", rpc);
            json.WriteString("key", id);
            json.WriteString("caller", name);
            json.WriteString("peer", context.Connection.RemoteIpAddress?.ToString() ?? "");
            json.WriteString("status", status);
            if (reason.Length > 0)
                json.WriteString("reason", reason);
            json.WriteEndObject();
        }

        line.Write("\n"u8);
        lock (_gate)
        {
            _file.Write(line.ToArray());
            _file.Flush();
        }
    }

    // gRPC tells its status in trailers, or in headers where there is nothing but a status; JSON in the HTTP status.
    private static string StatusOf(HttpContext context)
    {
        string status = context.Features.Get<IHttpResponseTrailersFeature>()?.Trailers["grpc-status"].ToString() ?? "";
        if (status.Length == 0)
            status = context.Response.Headers["grpc-status"].ToString();
        return status.Length > 0 ? $"grpc {status}" : $"http {context.Response.StatusCode}";
    }
}
