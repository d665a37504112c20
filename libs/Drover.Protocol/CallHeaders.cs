using Grpc.Core;

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

    private const string Authorization = "authorization";

    /// <summary>The headers of a call, with a key. A copy: callers use the same headers again, for a second try or another call, and two keys are none.</summary>
    /// <param name="headers">Of the call.</param>
    /// <param name="key">Of a user or of the services.</param>
    public static Metadata WithKey(Metadata headers, string key)
    {
        ArgumentNullException.ThrowIfNull(headers);
        var shown = new Metadata();
        foreach (Metadata.Entry entry in headers.Where(h => h.Key != Authorization))
            shown.Add(entry);
        shown.Add(Authorization, $"Bearer {key}");
        return shown;
    }
}
