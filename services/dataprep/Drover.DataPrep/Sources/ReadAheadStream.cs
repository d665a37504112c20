using System.Buffers;
using System.IO.Hashing;
using System.Threading.Channels;
using Drover.DataPrep.Building;
using Drover.Errors;
using Drover.Formats.Datasets;
using Drover.ObjectStore;

namespace Drover.DataPrep.Sources;

/// <summary>
/// The bytes of a piece of a source, read by one task while another works on them: at most <see cref="ChunksAhead"/> chunks lie between
/// the two, so that a slow consumer holds the reading up and not the memory. Ends with a failure when the bytes are not those that were
/// planned with.
/// </summary>
internal sealed class ReadAheadStream : Stream
{
    private const int ChunkBytes = 1 << 20;
    private const int ChunksAhead = 4;
    private readonly Channel<ArraySegment<byte>> _chunks = Channel.CreateBounded<ArraySegment<byte>>(new BoundedChannelOptions(ChunksAhead) { SingleReader = true, SingleWriter = true });
    private readonly CancellationTokenSource _stop;
    private readonly Task _reading;
    private ArraySegment<byte> _current = ArraySegment<byte>.Empty;
    private bool _isDisposed;

    /// <summary>Begins to read.</summary>
    public ReadAheadStream(IObjectStore store, DatasetSource source, PlannedPiece piece, CancellationToken cancellation)
    {
        _stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        _reading = Task.Run(() => ReadAllAsync(store, source, piece, _stop.Token), CancellationToken.None);
    }

    /// <summary>Bytes given out.</summary>
    public long Given { get; private set; }

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => Given;
        set => throw new NotSupportedException();
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override int Read(Span<byte> buffer)
    {
        if (_current.Count == 0 && !TakeChunk())
            return 0;
        int count = Math.Min(buffer.Length, _current.Count);
        _current.AsSpan(0, count).CopyTo(buffer);
        _current = _current[count..];
        Given += count;
        return count;
    }

    /// <summary>Reads what is left, so that the digest is checked though nobody wants the bytes.</summary>
    public void Drain()
    {
        Given += _current.Count;
        while (TakeChunk())
            Given += _current.Count;
    }

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        // A decompressor disposes of what it reads from, too.
        if (disposing && !_isDisposed)
        {
            _isDisposed = true;
            _stop.Cancel();
            _reading.Wait();
            _stop.Dispose();
        }

        base.Dispose(disposing);
    }

    private bool TakeChunk()
    {
        if (_current.Array is { Length: > 0 } read)
            ArrayPool<byte>.Shared.Return(read);
        _current = ArraySegment<byte>.Empty;
        // The reader's failure comes out here.
        return _chunks.Reader.TryRead(out _current)
            || (_chunks.Reader.WaitToReadAsync(CancellationToken.None).AsTask().GetAwaiter().GetResult() && _chunks.Reader.TryRead(out _current));
    }

    // Never throws: the failure goes through the channel.
    private async Task ReadAllAsync(IObjectStore store, DatasetSource source, PlannedPiece piece, CancellationToken cancellation)
    {
        Exception? failure = null;
        try
        {
            var hash = new XxHash128();
            await ReadChunksAsync(store, source, piece, hash, cancellation).ConfigureAwait(false);
            if (Convert.ToHexStringLower(hash.GetHashAndReset()) != piece.Xxh128)
                failure = Changed(source);
        }
        catch (DroverException e) when (e.Code is FailureCode.OutOfRange or FailureCode.NotFound)
        {
            failure = Changed(source, e);
        }
        catch (EndOfStreamException e)
        {
            failure = Changed(source, e);
        }
        catch (Exception e)
        {
            failure = e;
        }

        _chunks.Writer.Complete(failure);
    }

    private async Task ReadChunksAsync(IObjectStore store, DatasetSource source, PlannedPiece piece, XxHash128 hash, CancellationToken cancellation)
    {
        if (piece.Length == 0)
            return;
        Stream stream = await store.OpenReadAsync(source.Key, piece.Offset, piece.Length, cancellation).ConfigureAwait(false);
        await using (stream.ConfigureAwait(false))
        {
            for (long left = piece.Length; left > 0;)
            {
                var chunk = new ArraySegment<byte>(ArrayPool<byte>.Shared.Rent(ChunkBytes), 0, (int)Math.Min(ChunkBytes, left));
                await stream.ReadExactlyAsync(chunk, cancellation).ConfigureAwait(false);
                hash.Append(chunk);
                left -= chunk.Count;
                await _chunks.Writer.WriteAsync(chunk, cancellation).ConfigureAwait(false);
            }
        }
    }

    private static DroverException Changed(DatasetSource source, Exception? inner = null) =>
        new(FailureCode.FailedPrecondition, "SOURCE_CHANGED", $"'{source.Key}' changed while the dataset was being built: its bytes are not those that were planned with ({source.Bytes} bytes, SHA-256 {source.Sha256}). Build it again, from a file that stays as it is.", inner);
}
