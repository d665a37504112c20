using Drover.Errors;
using Drover.Hosting.Security;
using Microsoft.AspNetCore.Http;

namespace Drover.Hosting;

/// <summary>
/// A message that is no message of its RPC ends before any interceptor sees it, as UNKNOWN without a word of why. All that handlers throw has a
/// reason by then, so what has none is that.
/// </summary>
internal sealed class UnreadableRequests(RequestDelegate next)
{
    private const string Unknown = "2";

    public async Task InvokeAsync(HttpContext context)
    {
        await next(context).ConfigureAwait(false);
        IHeaderDictionary headers = context.Response.Headers;
        if (context.Response.HasStarted || headers["grpc-status"] != Unknown || headers.ContainsKey("grpc-status-details-bin"))
            return;
        await Refusal.WriteAsync(context, new DroverException(
            FailureCode.InvalidArgument,
            "UNREADABLE_REQUEST",
            $"The request is no message that {context.Request.Path} takes: it was cut off or damaged, or written by other protos than these.")).ConfigureAwait(false);
    }
}
