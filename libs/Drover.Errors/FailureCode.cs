namespace Drover.Errors;

/// <summary>The canonical codes of google.rpc.Code, with the same numbers.</summary>
public enum FailureCode
{
    /// <summary>The caller gave up or asked to stop.</summary>
    Cancelled = 1,

    /// <summary>Nothing better is known.</summary>
    Unknown = 2,

    /// <summary>A field or file is malformed whatever the state of the system.</summary>
    InvalidArgument = 3,

    /// <summary>Too late.</summary>
    DeadlineExceeded = 4,

    /// <summary>The thing named does not exist.</summary>
    NotFound = 5,

    /// <summary>The name is taken by something else.</summary>
    AlreadyExists = 6,

    /// <summary>The caller may not.</summary>
    PermissionDenied = 7,

    /// <summary>Disk, memory or quota is used up.</summary>
    ResourceExhausted = 8,

    /// <summary>The things are there but do not fit together or are not ready.</summary>
    FailedPrecondition = 9,

    /// <summary>Something changed meanwhile: start again.</summary>
    Aborted = 10,

    /// <summary>Past the end.</summary>
    OutOfRange = 11,

    /// <summary>Known and not supported.</summary>
    Unimplemented = 12,

    /// <summary>A fault of Drover.</summary>
    Internal = 13,

    /// <summary>A service or store does not answer: try again.</summary>
    Unavailable = 14,

    /// <summary>Bytes are damaged.</summary>
    DataLoss = 15,

    /// <summary>No key, or a wrong one.</summary>
    Unauthenticated = 16,
}
