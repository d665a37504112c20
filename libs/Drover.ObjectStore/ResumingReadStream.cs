using Drover.Errors;

namespace Drover.ObjectStore;

/// <summary>A stream that knows which version of an object it reads.</summary>
internal interface ITaggedStream
{
    /// <summary>The object's tag.</summary>
    string Tag { get; }
}

/// <summary>Reads on from another stream when the one it reads breaks off.</summary>
/// <param name="first">Owned, as are those that come after it.</param>
/// <param name="resume">Opens what follows after a number of bytes, given what broke.</param>
public sealed class ResumingReadStream(Stream first, Func<long, Stream, CancellationToken, ValueTask<Stream>> resume) : ForwardReadStream
{
    // A stream that breaks off again without giving a byte is broken for good.
    private const int MostBreaks = 8;
    private Stream _current = first;
    private long _read;
    private int _breaks;

    /// <inheritdoc />
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        while (true)
        {
            try
            {
                int read = await _current.ReadAsync(buffer, cancellationToken).ConfigureAwait(false);
                _read += read;
                _breaks = read > 0 ? 0 : _breaks;
                return read;
            }
            catch (DroverException e) when (e.Code == FailureCode.Unavailable && ++_breaks <= MostBreaks)
            {
                Stream broken = _current;
                _current = await resume(_read, broken, cancellationToken).ConfigureAwait(false);
                await broken.DisposeAsync().ConfigureAwait(false);
            }
        }
    }

    /// <inheritdoc />
    public override int Read(Span<byte> buffer)
    {
        byte[] bytes = new byte[buffer.Length];
        int read = ReadAsync(bytes).AsTask().GetAwaiter().GetResult();
        bytes.AsSpan(0, read).CopyTo(buffer);
        return read;
    }

    /// <inheritdoc />
    protected override void Dispose(bool disposing)
    {
        if (disposing)
            _current.Dispose();
        base.Dispose(disposing);
    }
}
