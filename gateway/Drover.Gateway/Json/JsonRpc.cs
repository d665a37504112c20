using Drover.Errors;
using Drover.Hosting;
using Drover.Hosting.Security;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Grpc.Core;
using Microsoft.AspNetCore.Http.Features;

namespace Drover.Gateway.Json;

/// <summary>
/// Every RPC as JSON over HTTP, without a stub: POST /v1/rpc/&lt;service&gt;/&lt;method&gt;, the request as protobuf's JSON in the body, the
/// response as JSON; a stream as one response a line. Failures are google.rpc.Status as JSON with the HTTP status of their code; one that
/// comes in the middle of a stream is its last line, {"error": {...}}.
/// </summary>
internal sealed class JsonRpc(IServiceProvider provider)
{
    private static readonly JsonFormatter Formatter = new(JsonFormatter.Settings.Default.WithFormatDefaultValues(true).WithTypeRegistry(RpcCatalog.Types));
    private static readonly JsonParser Parser = new(JsonParser.Settings.Default.WithTypeRegistry(RpcCatalog.Types));

    /// <summary>Answers one call.</summary>
    public async Task HandleAsync(HttpContext context, string service, string method)
    {
        MethodDescriptor? rpc = RpcCatalog.Find(service, method);
        string target = rpc is null ? "" : RpcCatalog.ServiceOf(rpc);
        try
        {
            if (rpc is null)
                throw new DroverException(FailureCode.NotFound, "RPC_NOT_FOUND", $"There is no RPC '{service}/{method}'; GET /openapi.json lists them.");
            if (rpc.IsClientStreaming)
                throw new DroverException(FailureCode.Unimplemented, "CLIENT_STREAM", $"{method} takes a stream of requests: call it by gRPC.");
            IMessage request = await ReadAsync(context, rpc).ConfigureAwait(false);
            CallInvoker invoker = provider.GetRequiredKeyedService<CallInvoker>(target);
            var options = new CallOptions(CallOrigin.HeadersOf(context), cancellationToken: context.RequestAborted);
            if (rpc.IsServerStreaming)
                await StreamAsync(context, invoker.AsyncServerStreamingCall(MethodOf(rpc), null, options, request)).ConfigureAwait(false);
            else
                await WriteAsync(context, await invoker.AsyncUnaryCall(MethodOf(rpc), null, options, request).ConfigureAwait(false)).ConfigureAwait(false);
        }
        catch (DroverException e)
        {
            await FailAsync(context, e).ConfigureAwait(false);
        }
        catch (RpcException e) when (!context.RequestAborted.IsCancellationRequested)
        {
            await FailAsync(context, RpcFailure.From(e, target)).ConfigureAwait(false);
        }
        catch (Exception e) when (context.RequestAborted.IsCancellationRequested && e is RpcException or OperationCanceledException)
        {
            // The caller went away.
        }
    }

    private static async Task<IMessage> ReadAsync(HttpContext context, MethodDescriptor rpc)
    {
        if (context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
            limit.MaxRequestBodySize = DroverHost.MaxMessageBytes;
        try
        {
            using var reader = new StreamReader(context.Request.Body);
            string body = await reader.ReadToEndAsync(context.RequestAborted).ConfigureAwait(false);
            return Parser.Parse(string.IsNullOrWhiteSpace(body) ? "{}" : body, rpc.InputType);
        }
        catch (Exception e) when (e is InvalidProtocolBufferException or InvalidJsonException or FormatException or OverflowException)
        {
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_JSON", $"The body is no {rpc.InputType.Name} as JSON: {e.Message}", e);
        }
        catch (BadHttpRequestException e)
        {
            throw new DroverException(FailureCode.ResourceExhausted, "BODY_TOO_LARGE", $"The body cannot be read: {e.Message}", e);
        }
    }

    private static async Task StreamAsync(HttpContext context, AsyncServerStreamingCall<IMessage> call)
    {
        using (call)
        {
            while (await call.ResponseStream.MoveNext(context.RequestAborted).ConfigureAwait(false))
            {
                if (!context.Response.HasStarted)
                    context.Response.ContentType = "application/x-ndjson";
                await context.Response.WriteAsync(Formatter.Format(call.ResponseStream.Current) + "\n", context.RequestAborted).ConfigureAwait(false);
                await context.Response.Body.FlushAsync(context.RequestAborted).ConfigureAwait(false);
            }
        }
    }

    private static Task WriteAsync(HttpContext context, IMessage message)
    {
        context.Response.ContentType = "application/json";
        return context.Response.WriteAsync(Formatter.Format(message), context.RequestAborted);
    }

    private static async Task FailAsync(HttpContext context, DroverException failure)
    {
        if (context.Response.HasStarted)
            await context.Response.WriteAsync($"{{\"error\":{FailureStatus.Json(failure)}}}\n", context.RequestAborted).ConfigureAwait(false);
        else
            await FailureStatus.WriteAsync(context, failure).ConfigureAwait(false);
    }

    private static Method<IMessage, IMessage> MethodOf(MethodDescriptor rpc) => new(
        rpc.IsServerStreaming ? MethodType.ServerStreaming : MethodType.Unary,
        rpc.Service.FullName,
        rpc.Name,
        Marshallers.Create<IMessage>(message => message.ToByteArray(), bytes => rpc.InputType.Parser.ParseFrom(bytes)),
        Marshallers.Create<IMessage>(message => message.ToByteArray(), bytes => rpc.OutputType.Parser.ParseFrom(bytes)));
}
