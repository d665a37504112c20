using Drover.Errors;
using Grpc.Core;

namespace Drover.Hosting;

/// <summary>A caller's stream of requests: what cannot be read of it is the caller's fault, not one of ours.</summary>
internal sealed class RequestStream<T>(IAsyncStreamReader<T> requests) : IAsyncStreamReader<T>
{
    /// <inheritdoc />
    public T Current => requests.Current;

    /// <inheritdoc />
    /// <exception cref="DroverException">InvalidArgument for a message that is none.</exception>
    public async Task<bool> MoveNext(CancellationToken cancellationToken)
    {
        try
        {
            return await requests.MoveNext(cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or InvalidDataException)
        {
            // Of a single request UnreadableRequests says so. Protocol buffers' own exception is an IOException too.
            throw new DroverException(FailureCode.InvalidArgument, "UNREADABLE_REQUEST", $"A message of the stream cannot be read: {e.Message} It was cut off or damaged, or written by other protos than this service's.", e);
        }
    }
}
