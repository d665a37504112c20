using System.Security.Cryptography;
using Drover.Errors;
using Drover.Protocol.Gateway.V1;
using Grpc.Core;

namespace Drover.Gateway.Inputs;

/// <summary>
/// The chunks of an upload as a stream that refuses to end well unless size and digest are the promised ones: the last
/// bytes are handed out only after they are checked, so a store that publishes at the end never publishes wrong bytes.
/// </summary>
internal sealed class VerifiedUploadStream(IAsyncStreamReader<UploadInputRequest> parts, UploadHeader header) : Stream
{
    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private ReadOnlyMemory<byte> _chunk;
    private long _received;
    private bool _verified;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => header.SizeBytes;

    public override long Position { get => _received - _chunk.Length; set => throw new NotSupportedException(); }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        while (_chunk.IsEmpty)
        {
            if (!await parts.MoveNext(cancellationToken).ConfigureAwait(false))
            {
                if (!_verified)
                    Verify();
                return 0;
            }

            if (parts.Current.PartCase != UploadInputRequest.PartOneofCase.Chunk)
                throw new DroverException(FailureCode.InvalidArgument, "CHUNK_EXPECTED", $"After its header, the upload of '{header.FileName}' has chunks only.");
            Take(parts.Current.Chunk.Memory);
        }

        int count = Math.Min(buffer.Length, _chunk.Length);
        _chunk[..count].CopyTo(buffer);
        _chunk = _chunk[count..];
        return count;
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException("An upload is read asynchronously.");

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            _hash.Dispose();
        base.Dispose(disposing);
    }

    private void Take(ReadOnlyMemory<byte> chunk)
    {
        _received += chunk.Length;
        if (_received > header.SizeBytes)
            throw Damaged($"more than the promised {header.SizeBytes} bytes arrived");
        _hash.AppendData(chunk.Span);
        _chunk = chunk;
        // Here, not at the end of the stream: a store that knows the length may never read past the last byte.
        if (_received == header.SizeBytes && !_verified)
            Verify();
    }

    private void Verify()
    {
        if (_received != header.SizeBytes)
            throw Damaged($"{_received} of the promised {header.SizeBytes} bytes arrived");
        string digest = Convert.ToHexStringLower(_hash.GetHashAndReset());
        if (digest != header.Sha256)
            throw Damaged($"the bytes that arrived have SHA-256 {digest}, promised was {header.Sha256}");
        _verified = true;
    }

    private DroverException Damaged(string what) =>
        new(FailureCode.DataLoss, "UPLOAD_DAMAGED", $"Upload of '{header.FileName}': {what}. Nothing was stored; upload it again.");
}
