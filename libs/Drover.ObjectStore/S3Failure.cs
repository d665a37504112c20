using System.Net;
using Drover.Errors;
using Minio.Exceptions;

namespace Drover.ObjectStore;

/// <summary>What an S3 server's refusals mean to a caller.</summary>
internal static class S3Failure
{
    /// <summary>From the client's exceptions; what is known already stays as it is.</summary>
    public static Exception From(Exception e, string key, ObjectStoreOptions options) => e switch
    {
        DroverException => e,
        ObjectNotFoundException => ObjectStoreReading.Missing(key),
        BucketNotFoundException => FromStatus(HttpStatusCode.NotFound, key, options, e),
        AccessDeniedException or AuthorizationException or ForbiddenException => FromStatus(HttpStatusCode.Forbidden, key, options, e),
        PreconditionFailedException => FromStatus(HttpStatusCode.PreconditionFailed, key, options, e),
        ErrorResponseException { Response.Code: "AccessDenied" or "InvalidAccessKeyId" or "SignatureDoesNotMatch" } => FromStatus(HttpStatusCode.Forbidden, key, options, e),
        ErrorResponseException { Response.Code: "NoSuchKey" or "NoSuchBucket" } => ObjectStoreReading.Missing(key),
        ErrorResponseException { Response.Code: "QuotaExceeded" or "EntityTooLarge" } => FromStatus(HttpStatusCode.InsufficientStorage, key, options, e),
        _ => Silent(options, e),
    };

    /// <summary>From an HTTP status.</summary>
    public static DroverException FromStatus(HttpStatusCode status, string key, ObjectStoreOptions options, Exception? inner = null) => status switch
    {
        HttpStatusCode.NotFound => ObjectStoreReading.Missing(key),
        HttpStatusCode.PreconditionFailed => new(FailureCode.AlreadyExists, "OBJECT_EXISTS", $"There is an object '{key}' already.", inner),
        HttpStatusCode.Conflict => new(FailureCode.Aborted, "OBJECT_CONFLICT", $"Object '{key}' was written by someone else at the same moment. Try again.", inner),
        HttpStatusCode.Forbidden or HttpStatusCode.Unauthorized => new(
            FailureCode.PermissionDenied,
            "OBJECT_STORE_DENIED",
            $"The object store at {options.S3Endpoint} refuses '{key}' in bucket '{options.S3Bucket}' to this access key. Check ObjectStore:S3AccessKey, S3SecretKey and the bucket's policy.",
            inner),
        HttpStatusCode.InsufficientStorage or HttpStatusCode.RequestEntityTooLarge => new(FailureCode.ResourceExhausted, "OBJECT_STORE_FULL", $"The object store at {options.S3Endpoint} has no room for '{key}'.", inner),
        >= HttpStatusCode.InternalServerError or HttpStatusCode.TooManyRequests => Silent(options, inner),
        _ => new(FailureCode.Internal, "OBJECT_STORE_PROTOCOL", $"The object store at {options.S3Endpoint} answered {(int)status} for '{key}'.", inner),
    };

    /// <summary>It does not answer, or not sensibly.</summary>
    public static DroverException Silent(ObjectStoreOptions options, Exception? inner) =>
        new(FailureCode.Unavailable, "OBJECT_STORE_UNAVAILABLE", $"The object store at {options.S3Endpoint} does not answer: {inner?.GetBaseException().Message ?? "it is overloaded or down"}. Check that it runs and ObjectStore:S3Endpoint.", inner);
}
