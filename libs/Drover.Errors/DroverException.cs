namespace Drover.Errors;

/// <summary>
/// A failure that a person can act on. The message names the field, file or line and the way out; it is shown to users
/// as it stands, so it holds no stack trace and no secret. Every service maps it to its gRPC code.
/// </summary>
public sealed class DroverException : Exception
{
    /// <summary>Creates a failure.</summary>
    /// <param name="code">The canonical code.</param>
    /// <param name="reason">A stable word for programs, upper-case with underscores, e.g. <c>VOCABULARY_MISMATCH</c>.</param>
    /// <param name="message">One message for a person.</param>
    /// <param name="inner">What was underneath, for the log.</param>
    public DroverException(FailureCode code, string reason, string message, Exception? inner = null)
        : base(message, inner)
    {
        Code = code;
        Reason = reason;
    }

    /// <summary>The canonical code.</summary>
    public FailureCode Code { get; }

    /// <summary>A stable word for programs.</summary>
    public string Reason { get; }
}
