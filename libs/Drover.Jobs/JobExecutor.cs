using Google.Protobuf;

namespace Drover.Jobs;

/// <summary>Does jobs of one kind.</summary>
public interface IJobExecutor
{
    /// <summary>The kind.</summary>
    string Kind { get; }

    /// <summary>Does the work and gives the serialized result.</summary>
    Task<byte[]> RunAsync(JobContext job, byte[] spec, CancellationToken cancellation);
}

/// <summary>
/// Does jobs of one kind with a typed spec and result. It may run again for the same job after the service died, so it is
/// written to find what is done already. A <see cref="Drover.Errors.DroverException"/> fails the job with its code and
/// message; an <see cref="OperationCanceledException"/> after a cancel ends it as cancelled.
/// </summary>
public abstract class JobExecutor<TSpec, TResult> : IJobExecutor
    where TSpec : IMessage<TSpec>, new()
    where TResult : IMessage<TResult>
{
    private static readonly MessageParser<TSpec> Parser = new(() => new TSpec());

    /// <inheritdoc />
    public abstract string Kind { get; }

    /// <summary>Does the work.</summary>
    /// <param name="job">To tell of progress.</param>
    /// <param name="spec">What to do.</param>
    /// <param name="cancellation">Cancelled by a cancel request and when the service stops.</param>
    public abstract Task<TResult> RunAsync(JobContext job, TSpec spec, CancellationToken cancellation);

    async Task<byte[]> IJobExecutor.RunAsync(JobContext job, byte[] spec, CancellationToken cancellation) =>
        (await RunAsync(job, Parser.ParseFrom(spec), cancellation).ConfigureAwait(false)).ToByteArray();
}
