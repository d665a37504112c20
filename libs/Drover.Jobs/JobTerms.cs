using System.Globalization;
using Drover.Protocol;
using Drover.Protocol.Common.V1;
using Grpc.Core;

namespace Drover.Jobs;

/// <summary>Whom a job is for, how urgent it is, and what it holds while it runs.</summary>
/// <param name="Owner">Jobs of the same priority are shared out evenly among owners.</param>
/// <param name="Priority">Jobs of a higher one begin first.</param>
/// <param name="Cores">Of those that the service's jobs share; 0: not counted.</param>
/// <param name="MemoryBytes">Of the memory that the service's jobs share; 0: not counted.</param>
public sealed record JobTerms(string Owner, int Priority = 0, int Cores = 0, long MemoryBytes = 0)
{
    /// <summary>For nobody in particular.</summary>
    public static JobTerms None { get; } = new("");

    /// <summary>What a call that was let in says of them.</summary>
    public static JobTerms Of(ServerCallContext context) => new(
        Uri.UnescapeDataString(context.RequestHeaders.GetValue(CallHeaders.Owner) ?? ""),
        int.TryParse(context.RequestHeaders.GetValue(CallHeaders.Priority), CultureInfo.InvariantCulture, out int priority) ? priority : 0);

    /// <summary>Headers for a call that makes another job for the same owner, as urgent as this one.</summary>
    public static Metadata HeadersOf(Job job) => new()
    {
        { CallHeaders.Owner, Uri.EscapeDataString(job.Owner) },
        { CallHeaders.Priority, job.Priority.ToString(CultureInfo.InvariantCulture) },
    };
}
