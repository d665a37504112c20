using Drover.Errors;

namespace Drover.ObjectStore;

/// <summary>The body of a response: owns it, and says Unavailable when the connection breaks in the middle.</summary>
internal sealed class S3ReadStream(HttpResponseMessage response, string tag, Stream body, string key) : ForwardReadStream, ITaggedStream
{
    // A server that stops in the middle of an answer would be waited for endlessly.
    private static readonly TimeSpan LongestSilence = TimeSpan.FromSeconds(60);

    public string Tag => tag;

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        using var silence = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        silence.CancelAfter(LongestSilence);
        try
        {
            return await body.ReadAsync(buffer, silence.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or HttpRequestException || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            throw Broken(e);
        }
    }

    public override int Read(Span<byte> buffer)
    {
        try
        {
            return body.Read(buffer);
        }
        catch (Exception e) when (e is IOException or HttpRequestException)
        {
            throw Broken(e);
        }
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            body.Dispose();
            response.Dispose();
        }

        base.Dispose(disposing);
    }

    private DroverException Broken(Exception e) =>
        new(FailureCode.Unavailable, "OBJECT_STORE_UNAVAILABLE", $"The connection to the object store broke while '{key}' was read. Try again.", e);
}
