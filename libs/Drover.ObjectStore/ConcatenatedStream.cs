namespace Drover.ObjectStore;

/// <summary>What was read ahead, then the rest. Keeps what the rest failed with, which an upload would hide.</summary>
internal sealed class ConcatenatedStream(Stream start, Stream rest, PartDigests? parts = null) : ForwardReadStream
{
    /// <summary>The failure of the source, if that is what ended the reading.</summary>
    public Exception? Failure { get; private set; }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        int read = await start.ReadAsync(buffer, cancellationToken).ConfigureAwait(false);
        try
        {
            if (read == 0 && buffer.Length > 0)
                read = await rest.ReadAsync(buffer, cancellationToken).ConfigureAwait(false);
            parts?.Add(buffer.Span[..read]);
            return read;
        }
        catch (Exception e)
        {
            Failure = e;
            throw;
        }
    }

    public override int Read(Span<byte> buffer)
    {
        int read = start.Read(buffer);
        if (read == 0)
            read = rest.Read(buffer);
        parts?.Add(buffer[..read]);
        return read;
    }
}
