using Drover.Errors;
using Drover.ObjectStore;

namespace Drover.Checkpoint.Imports;

/// <summary>The body of an answer: owns it, and says Unavailable when it breaks off or falls silent.</summary>
internal sealed class HubBody(HttpResponseMessage response, Stream body, TimeSpan longestSilence) : ForwardReadStream
{
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        using var silence = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        silence.CancelAfter(longestSilence);
        try
        {
            return await body.ReadAsync(buffer, silence.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or HttpRequestException || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            throw new DroverException(FailureCode.Unavailable, "SOURCE_UNAVAILABLE", $"The connection broke: {e.Message} What was fetched stays; import again to go on.", e);
        }
    }

    public override int Read(Span<byte> buffer) => throw new NotSupportedException("It is read asynchronously.");

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            body.Dispose();
            response.Dispose();
        }

        base.Dispose(disposing);
    }
}
