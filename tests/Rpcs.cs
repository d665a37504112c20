using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using Drover.Protocol;
using Grpc.Core;

namespace Drover.Testing;

/// <summary>Every RPC of Drover, and calls of them by hand, with any bytes as message.</summary>
internal static class Rpcs
{
    /// <summary>As paths, "/package.Service/Method".</summary>
    public static IReadOnlyList<string> All { get; } = [.. DroverRpcs.Methods.Select(DroverRpcs.PathOf)];

    /// <summary>A call with an empty message.</summary>
    public static HttpRequestMessage Empty(string rpc) => Call(rpc, []);

    /// <summary>A call with these bytes as its message.</summary>
    public static HttpRequestMessage Call(string rpc, byte[] message) => Raw(rpc, Frame(message));

    /// <summary>A message as gRPC sends it: not compressed, its length, itself.</summary>
    public static byte[] Frame(byte[] message) =>
        [0, (byte)(message.Length >> 24), (byte)(message.Length >> 16), (byte)(message.Length >> 8), (byte)message.Length, .. message];

    /// <summary>A call with these bytes as its body.</summary>
    public static HttpRequestMessage Raw(string rpc, byte[] body)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, rpc) { Content = new ByteArrayContent(body), Version = HttpVersion.Version20, VersionPolicy = HttpVersionPolicy.RequestVersionExact };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/grpc");
        request.Headers.Add("te", "trailers");
        return request;
    }

    /// <summary>The gRPC status of an answer that was read to its end.</summary>
    public static StatusCode? StatusOf(HttpResponseMessage answer)
    {
        string? status = ValueOf(answer, "grpc-status");
        return status is null ? null : (StatusCode)int.Parse(status, CultureInfo.InvariantCulture);
    }

    /// <summary>The reasons of such a status; null where it has none.</summary>
    public static Google.Rpc.Status? DetailsOf(HttpResponseMessage answer) =>
        ValueOf(answer, "grpc-status-details-bin")?.TrimEnd('=') is { } text ? Google.Rpc.Status.Parser.ParseFrom(Convert.FromBase64String(text.PadRight((text.Length + 3) / 4 * 4, '='))) : null;

    private static string? ValueOf(HttpResponseMessage answer, string name) =>
        answer.Headers.TryGetValues(name, out IEnumerable<string>? values) || answer.TrailingHeaders.TryGetValues(name, out values) ? values.First() : null;
}
