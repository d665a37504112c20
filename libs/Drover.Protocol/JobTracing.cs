using System.Diagnostics;

namespace Drover.Protocol;

/// <summary>
/// A span for each attempt of a job. A job keeps the trace that it was made in, so a pipeline and the jobs of its steps are one trace,
/// whatever was restarted meanwhile. Costs nothing while nobody listens.
/// </summary>
public static class JobTracing
{
    /// <summary>Name of the source of these spans.</summary>
    public const string SourceName = "Drover.Jobs";

    /// <summary>The source.</summary>
    public static ActivitySource Source { get; } = new(SourceName);

    /// <summary>What a job keeps of the trace that it is made in (W3C traceparent); empty when nobody records it.</summary>
    public static string Current => Activity.Current is { Recorded: true, IdFormat: ActivityIdFormat.W3C, Id: { } id } ? id : "";
}
