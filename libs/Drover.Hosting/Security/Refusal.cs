using Drover.Errors;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Google.Protobuf.WellKnownTypes;
using Google.Rpc;
using Microsoft.AspNetCore.Http;

namespace Drover.Hosting.Security;

/// <summary>Answers a call that is not let in as the service itself would: a gRPC status, or JSON.</summary>
internal static class Refusal
{
    private static readonly JsonFormatter Formatter = new(JsonFormatter.Settings.Default.WithTypeRegistry(TypeRegistry.FromFiles(ErrorDetailsReflection.Descriptor)));

    public static Task WriteAsync(HttpContext context, DroverException failure)
    {
        var status = new Status
        {
            Code = (int)failure.Code,
            Message = failure.Message,
            Details = { Any.Pack(new ErrorInfo { Domain = FailureInterceptor.Domain, Reason = failure.Reason }) },
        };
        Microsoft.AspNetCore.Http.HttpResponse response = context.Response;
        if (context.Request.ContentType?.StartsWith("application/grpc", StringComparison.Ordinal) == true)
        {
            // A status and nothing else travels in the headers.
            response.ContentType = "application/grpc";
            response.Headers["grpc-status"] = ((int)failure.Code).ToString(System.Globalization.CultureInfo.InvariantCulture);
            response.Headers["grpc-message"] = Uri.EscapeDataString(failure.Message);
            response.Headers["grpc-status-details-bin"] = Convert.ToBase64String(status.ToByteArray());
            return Task.CompletedTask;
        }

        response.StatusCode = failure.Code switch
        {
            FailureCode.Unauthenticated => StatusCodes.Status401Unauthorized,
            FailureCode.PermissionDenied => StatusCodes.Status403Forbidden,
            FailureCode.ResourceExhausted => StatusCodes.Status429TooManyRequests,
            FailureCode.Unavailable => StatusCodes.Status503ServiceUnavailable,
            _ => StatusCodes.Status500InternalServerError,
        };
        if (failure.Code == FailureCode.Unauthenticated)
            response.Headers.WWWAuthenticate = "Bearer";
        response.ContentType = "application/json";
        return response.WriteAsync(Formatter.Format(status), context.RequestAborted);
    }
}
