using Drover.Errors;
using Drover.Hosting;
using Grpc.Core;

namespace Drover.Gateway.Pipelines;

/// <summary>Calls a service again, with growing waits, while it does not answer: it may be restarting.</summary>
internal sealed class ServiceRetry(GatewayOptions options, TimeProvider time)
{
    /// <summary>Calls until it works, the service says no, or patience ends.</summary>
    /// <param name="service">For messages.</param>
    /// <param name="onWait">Told once, at the first wait.</param>
    /// <param name="call">The call. What it is given tells that the service answered, which begins the patience anew.</param>
    /// <param name="cancellation">Ends the waiting.</param>
    /// <exception cref="DroverException">What the service answered, or Unavailable.</exception>
    public async Task RunAsync(string service, Action<string> onWait, Func<Action, Task> call, CancellationToken cancellation)
    {
        long since = time.GetTimestamp();
        TimeSpan delay = options.RetryDelay;
        bool told = false;
        void Answered()
        {
            since = time.GetTimestamp();
            delay = options.RetryDelay;
            told = false;
        }

        while (true)
        {
            try
            {
                await call(Answered).ConfigureAwait(false);
                return;
            }
            catch (RpcException) when (cancellation.IsCancellationRequested)
            {
                throw new OperationCanceledException(cancellation);
            }
            catch (RpcException e) when (IsTransient(e) && time.GetElapsedTime(since) < options.Patience)
            {
                if (!told)
                    onWait($"The service '{service}' does not answer; waiting for it.");
                told = true;
                await Task.Delay(delay, time, cancellation).ConfigureAwait(false);
                delay = delay * 2 < options.RetryDelayMax ? delay * 2 : options.RetryDelayMax;
            }
            catch (RpcException e)
            {
                throw RpcFailure.From(e, service);
            }
        }
    }

    /// <summary>
    /// Whether the call failed and not the work: nothing answered, or the connection broke, which gRPC tells with several
    /// codes. What a service of ours says itself always carries details.
    /// </summary>
    private static bool IsTransient(RpcException e) =>
        e.StatusCode == StatusCode.Unavailable ||
        (e.GetRpcStatus() is null && e.StatusCode is StatusCode.Cancelled or StatusCode.Internal or StatusCode.Unknown);
}
