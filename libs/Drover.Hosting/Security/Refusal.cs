using Drover.Errors;
using Google.Protobuf;
using Microsoft.AspNetCore.Http;

namespace Drover.Hosting.Security;

/// <summary>Answers a call that is not let in as the service itself would: a gRPC status, or JSON.</summary>
internal static class Refusal
{
    public static Task WriteAsync(HttpContext context, DroverException failure)
    {
        if (context.Request.ContentType?.StartsWith("application/grpc", StringComparison.Ordinal) != true)
            return FailureStatus.WriteAsync(context, failure);
        // A status and nothing else travels in the headers.
        HttpResponse response = context.Response;
        response.ContentType = "application/grpc";
        response.Headers["grpc-status"] = ((int)failure.Code).ToString(System.Globalization.CultureInfo.InvariantCulture);
        response.Headers["grpc-message"] = Uri.EscapeDataString(failure.Message);
        response.Headers["grpc-status-details-bin"] = Convert.ToBase64String(FailureStatus.Of(failure).ToByteArray());
        return Task.CompletedTask;
    }
}
