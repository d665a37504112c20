using Drover.Hosting;
using Grpc.Core;

namespace Drover.Gateway.Forwarding;

/// <summary>
/// Passes a call on to the service that answers it. The deadline, cancellation and headers go with it; the status comes
/// back as it is, details included. Only "cannot be reached" is reworded: it names the service.
/// </summary>
internal static class Forward
{
    private static readonly HashSet<string> HopHeaders = new(StringComparer.OrdinalIgnoreCase) { "host", "te", "user-agent", "content-type", "content-length", "accept-encoding", "connection", "transfer-encoding" };

    public static async Task<TResponse> UnaryAsync<TRequest, TResponse>(string service, Func<TRequest, CallOptions, AsyncUnaryCall<TResponse>> call, TRequest request, ServerCallContext context)
    {
        try
        {
            return await call(request, Options(context)).ConfigureAwait(false);
        }
        catch (RpcException e) when (IsUnreachable(e))
        {
            throw RpcFailure.From(e, service);
        }
    }

    public static async Task StreamAsync<TRequest, TResponse>(string service, Func<TRequest, CallOptions, AsyncServerStreamingCall<TResponse>> call, TRequest request, IServerStreamWriter<TResponse> responses, ServerCallContext context)
    {
        try
        {
            using AsyncServerStreamingCall<TResponse> stream = call(request, Options(context));
            while (await stream.ResponseStream.MoveNext(context.CancellationToken).ConfigureAwait(false))
                await responses.WriteAsync(stream.ResponseStream.Current, context.CancellationToken).ConfigureAwait(false);
        }
        catch (RpcException e) when (IsUnreachable(e))
        {
            throw RpcFailure.From(e, service);
        }
    }

    public static async Task DuplexAsync<TRequest, TResponse>(string service, Func<CallOptions, AsyncDuplexStreamingCall<TRequest, TResponse>> call, IAsyncStreamReader<TRequest> requests, IServerStreamWriter<TResponse> responses, ServerCallContext context)
    {
        try
        {
            using AsyncDuplexStreamingCall<TRequest, TResponse> stream = call(Options(context));
            Task sending = SendAsync(requests, stream.RequestStream, context.CancellationToken);
            while (await stream.ResponseStream.MoveNext(context.CancellationToken).ConfigureAwait(false))
                await responses.WriteAsync(stream.ResponseStream.Current, context.CancellationToken).ConfigureAwait(false);
            await sending.ConfigureAwait(false);
        }
        catch (RpcException e) when (IsUnreachable(e))
        {
            throw RpcFailure.From(e, service);
        }
    }

    private static async Task SendAsync<TRequest>(IAsyncStreamReader<TRequest> requests, IClientStreamWriter<TRequest> to, CancellationToken cancellation)
    {
        while (await requests.MoveNext(cancellation).ConfigureAwait(false))
            await to.WriteAsync(requests.Current, cancellation).ConfigureAwait(false);
        await to.CompleteAsync().ConfigureAwait(false);
    }

    private static bool IsUnreachable(RpcException e) => e.StatusCode == StatusCode.Unavailable && e.GetRpcStatus() is null;

    private static CallOptions Options(ServerCallContext context)
    {
        var headers = new Metadata();
        foreach (Metadata.Entry entry in context.RequestHeaders)
        {
            if (!HopHeaders.Contains(entry.Key) && !entry.Key.StartsWith("grpc-", StringComparison.OrdinalIgnoreCase) && entry.Key[0] != ':')
                headers.Add(entry);
        }

        return new CallOptions(headers, context.Deadline == DateTime.MaxValue ? null : context.Deadline, context.CancellationToken);
    }
}
