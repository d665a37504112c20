using Drover.Errors;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Google.Protobuf.WellKnownTypes;
using Google.Rpc;
using Microsoft.AspNetCore.Http;
using Status = Google.Rpc.Status;

namespace Drover.Hosting;

/// <summary>Failures as callers get them: google.rpc.Status; in JSON with the HTTP status of its code.</summary>
public static class FailureStatus
{
    private static readonly JsonFormatter Formatter = new(JsonFormatter.Settings.Default.WithTypeRegistry(TypeRegistry.FromFiles(ErrorDetailsReflection.Descriptor)));

    /// <summary>The failure with its reason as google.rpc.ErrorInfo.</summary>
    public static Status Of(DroverException failure) => new()
    {
        Code = (int)failure.Code,
        Message = failure.Message,
        Details = { Any.Pack(new ErrorInfo { Domain = FailureInterceptor.Domain, Reason = failure.Reason }) },
    };

    /// <summary>The same as JSON.</summary>
    public static string Json(DroverException failure) => Formatter.Format(Of(failure));

    /// <summary>Answers with it.</summary>
    public static Task WriteAsync(HttpContext context, DroverException failure)
    {
        context.Response.StatusCode = HttpCode(failure.Code);
        if (failure.Code == FailureCode.Unauthenticated)
            context.Response.Headers.WWWAuthenticate = "Bearer";
        context.Response.ContentType = "application/json";
        return context.Response.WriteAsync(Json(failure), context.RequestAborted);
    }

    // The table of google/rpc/code.proto.
    private static int HttpCode(FailureCode code) => code switch
    {
        FailureCode.InvalidArgument or FailureCode.FailedPrecondition or FailureCode.OutOfRange => StatusCodes.Status400BadRequest,
        FailureCode.Unauthenticated => StatusCodes.Status401Unauthorized,
        FailureCode.PermissionDenied => StatusCodes.Status403Forbidden,
        FailureCode.NotFound => StatusCodes.Status404NotFound,
        FailureCode.AlreadyExists or FailureCode.Aborted => StatusCodes.Status409Conflict,
        FailureCode.ResourceExhausted => StatusCodes.Status429TooManyRequests,
        FailureCode.Cancelled => StatusCodes.Status499ClientClosedRequest,
        FailureCode.Unimplemented => StatusCodes.Status501NotImplemented,
        FailureCode.Unavailable => StatusCodes.Status503ServiceUnavailable,
        FailureCode.DeadlineExceeded => StatusCodes.Status504GatewayTimeout,
        _ => StatusCodes.Status500InternalServerError,
    };
}
