using Drover.Errors;
using Google.Rpc;
using Grpc.Core;

namespace Drover.Hosting;

/// <summary>Turns a status from another service back into the failure it was.</summary>
public static class RpcFailure
{
    /// <summary>The failure behind a status.</summary>
    /// <param name="exception">What the client threw.</param>
    /// <param name="service">The service that was called, for the message when it does not answer.</param>
    public static DroverException From(RpcException exception, string service)
    {
        string reason = exception.GetRpcStatus()?.GetDetail<ErrorInfo>()?.Reason ?? exception.StatusCode.ToString().ToUpperInvariant();
        string message = exception.StatusCode == StatusCode.Unavailable
            ? $"The service '{service}' does not answer: {exception.Status.Detail}"
            : exception.Status.Detail;
        return new DroverException((FailureCode)(int)exception.StatusCode, reason, message, exception);
    }
}
