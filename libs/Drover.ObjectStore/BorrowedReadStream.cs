namespace Drover.ObjectStore;

/// <summary>Reads a stream that stays open, whoever disposes of this.</summary>
internal sealed class BorrowedReadStream(Stream inner) : ForwardReadStream
{
    public override int Read(Span<byte> buffer) => inner.Read(buffer);

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => inner.ReadAsync(buffer, cancellationToken);
}
