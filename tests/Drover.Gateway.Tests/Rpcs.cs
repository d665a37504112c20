using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.DataPrep.V1;
using Drover.Protocol.Gateway.V1;
using Drover.Protocol.Tokenizer.V1;
using Drover.Protocol.Trainer.V1;
using Google.Protobuf.Reflection;
using Grpc.Core;

namespace Drover.Gateway.Tests;

/// <summary>Every RPC of Drover, and calls of them by hand, with any bytes as message.</summary>
internal static class Rpcs
{
    public static IReadOnlyList<MethodDescriptor> Methods { get; } =
    [
        .. new[]
        {
            GatewayServiceReflection.Descriptor, AccessServiceReflection.Descriptor, TokenizerServiceReflection.Descriptor, DataprepServiceReflection.Descriptor,
            TrainerServiceReflection.Descriptor, CheckpointServiceReflection.Descriptor,
        }.SelectMany(file => file.Services).SelectMany(service => service.Methods),
    ];

    /// <summary>As paths, "/package.Service/Method".</summary>
    public static IReadOnlyList<string> All { get; } = [.. Methods.Select(PathOf)];

    public static string PathOf(MethodDescriptor method) => $"/{method.Service.FullName}/{method.Name}";

    /// <summary>A call with an empty message.</summary>
    public static HttpRequestMessage Empty(string rpc) => Call(rpc, []);

    /// <summary>A call with these bytes as its message.</summary>
    public static HttpRequestMessage Call(string rpc, byte[] message) => Raw(rpc, [0, (byte)(message.Length >> 24), (byte)(message.Length >> 16), (byte)(message.Length >> 8), (byte)message.Length, .. message]);

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
        string? status = answer.Headers.TryGetValues("grpc-status", out IEnumerable<string>? header) || answer.TrailingHeaders.TryGetValues("grpc-status", out header) ? header.First() : null;
        return status is null ? null : (StatusCode)int.Parse(status, CultureInfo.InvariantCulture);
    }
}
