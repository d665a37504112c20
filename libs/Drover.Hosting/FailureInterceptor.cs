using Drover.Errors;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Drover.Hosting;

/// <summary>
/// Turns failures into gRPC statuses: a <see cref="DroverException"/> with its code, message and reason (google.rpc.ErrorInfo);
/// anything else is a fault of ours, logged whole and told as one line without a stack trace. Streams to callers are broken
/// off when the service stops: callers resume them, and a watch that never ends must not hold the stop up.
/// </summary>
public sealed partial class FailureInterceptor(ILogger<FailureInterceptor> logger, IHostApplicationLifetime lifetime) : Interceptor
{
    /// <summary>Domain of google.rpc.ErrorInfo in all of Drover's statuses.</summary>
    public const string Domain = "drover";

    /// <inheritdoc />
    public override async Task<TResponse> UnaryServerHandler<TRequest, TResponse>(TRequest request, ServerCallContext context, UnaryServerMethod<TRequest, TResponse> continuation)
    {
        try
        {
            return await continuation(request, context).ConfigureAwait(false);
        }
        catch (Exception e) when (e is not RpcException)
        {
            throw Translate(e, context);
        }
    }

    /// <inheritdoc />
    public override async Task<TResponse> ClientStreamingServerHandler<TRequest, TResponse>(IAsyncStreamReader<TRequest> requestStream, ServerCallContext context, ClientStreamingServerMethod<TRequest, TResponse> continuation)
    {
        try
        {
            return await continuation(new RequestStream<TRequest>(requestStream), context).ConfigureAwait(false);
        }
        catch (Exception e) when (e is not RpcException)
        {
            throw Translate(e, context);
        }
    }

    /// <inheritdoc />
    public override async Task ServerStreamingServerHandler<TRequest, TResponse>(TRequest request, IServerStreamWriter<TResponse> responseStream, ServerCallContext context, ServerStreamingServerMethod<TRequest, TResponse> continuation)
    {
        using CancellationTokenRegistration stop = lifetime.ApplicationStopping.Register(() => context.GetHttpContext().Abort());
        try
        {
            await continuation(request, responseStream, context).ConfigureAwait(false);
        }
        catch (Exception e) when (e is not RpcException)
        {
            throw Translate(e, context);
        }
    }

    /// <inheritdoc />
    public override async Task DuplexStreamingServerHandler<TRequest, TResponse>(IAsyncStreamReader<TRequest> requestStream, IServerStreamWriter<TResponse> responseStream, ServerCallContext context, DuplexStreamingServerMethod<TRequest, TResponse> continuation)
    {
        try
        {
            await continuation(new RequestStream<TRequest>(requestStream), responseStream, context).ConfigureAwait(false);
        }
        catch (Exception e) when (e is not RpcException)
        {
            throw Translate(e, context);
        }
    }

    private RpcException Translate(Exception e, ServerCallContext context)
    {
        switch (e)
        {
            case DroverException failure:
                return FailureStatus.Of(failure).ToRpcException();
            case OperationCanceledException when context.CancellationToken.IsCancellationRequested:
                return new RpcException(new Status(StatusCode.Cancelled, "The caller gave up."));
            default:
                LogFault(context.Method, e);
                return FailureStatus.Of(new DroverException(FailureCode.Internal, "INTERNAL", $"{context.Method} failed inside Drover: {e.GetType().Name}. The service's log has the details.")).ToRpcException();
        }
    }

    [LoggerMessage(1, LogLevel.Error, "{Method} failed inside Drover")]
    private partial void LogFault(string method, Exception exception);
}
