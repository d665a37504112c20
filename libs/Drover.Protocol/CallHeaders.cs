namespace Drover.Protocol;

/// <summary>Headers of calls that make jobs. They go on with the call from service to service.</summary>
public static class CallHeaders
{
    /// <summary>Name of the key that the job is made for, percent-encoded. Set by the first service that is called, whatever a caller sends.</summary>
    public const string Owner = "drover-owner";

    /// <summary>How urgent the job is, -100 to 100; 0 where it is left out. Above 0 the caller needs the scope admin.</summary>
    public const string Priority = "drover-priority";

    /// <summary>Bounds of the priority: from the negative of this to this.</summary>
    public const int MaxPriority = 100;
}
