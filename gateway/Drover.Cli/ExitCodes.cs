using Drover.Errors;

namespace Drover.Cli;

/// <summary>How <c>drover</c> ends; part of its interface.</summary>
public static class ExitCodes
{
    /// <summary>Done.</summary>
    public const int Ok = 0;

    /// <summary>The job failed, or something broke.</summary>
    public const int Failed = 1;

    /// <summary>The command line or an input is wrong.</summary>
    public const int BadInput = 2;

    /// <summary>The gateway or a service behind it does not answer.</summary>
    public const int Unreachable = 3;

    /// <summary>Cancelled.</summary>
    public const int Cancelled = 130;

    /// <summary>The exit code for a failure.</summary>
    public static int For(FailureCode code) => code switch
    {
        FailureCode.InvalidArgument or FailureCode.NotFound or FailureCode.AlreadyExists or FailureCode.OutOfRange
            or FailureCode.FailedPrecondition or FailureCode.PermissionDenied or FailureCode.Unauthenticated => BadInput,
        FailureCode.Unavailable => Unreachable,
        FailureCode.Cancelled => Cancelled,
        _ => Failed,
    };
}
