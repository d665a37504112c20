using System.Security.Cryptography;
using System.Text;
using Drover.Errors;
using Drover.ObjectStore;

namespace Drover.Checkpoint.Imports;

/// <summary>
/// Passes a file on and holds it against its listing at the end. The error comes in place of the end, so that whoever stores the bytes has
/// not stored them then.
/// </summary>
internal sealed class CheckedStream : ForwardReadStream
{
    private readonly Stream _inner;
    private readonly SourceFile _file;
    private readonly string _repository;
    private readonly Action<int> _onBytes;
    private readonly IncrementalHash? _hash;
    private readonly string? _expected;
    private long _read;

    public CheckedStream(Stream inner, SourceFile file, string repository, Action<int> onBytes)
    {
        (_inner, _file, _repository, _onBytes) = (inner, file, repository, onBytes);
        _expected = file.Sha256 ?? (file.Size is null ? null : file.GitBlob);
        if (_expected is null)
            return;
        _hash = IncrementalHash.CreateHash(file.Sha256 is null ? HashAlgorithmName.SHA1 : HashAlgorithmName.SHA256);
        if (file.Sha256 is null)
            _hash.AppendData(Encoding.ASCII.GetBytes($"blob {file.Size}\0"));
    }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        int count = await _inner.ReadAsync(buffer, cancellationToken).ConfigureAwait(false);
        _hash?.AppendData(buffer.Span[..count]);
        _read += count;
        if (_read > _file.Size || (count == 0 && buffer.Length > 0 && _read < _file.Size))
            throw Damaged($"it has {(count == 0 ? "" : "more than ")}{_read} bytes, and should have {_file.Size}");
        if (count == 0 && buffer.Length > 0 && _hash is not null && Convert.ToHexStringLower(_hash.GetCurrentHash()) is var digest && digest != _expected)
            throw Damaged($"its digest is {digest}, and should be {_expected}");
        _onBytes(count);
        return count;
    }

    public override int Read(Span<byte> buffer) => throw new NotSupportedException("It is read asynchronously.");

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _hash?.Dispose();
            _inner.Dispose();
        }

        base.Dispose(disposing);
    }

    private DroverException Damaged(string why) =>
        new(FailureCode.DataLoss, "IMPORT_DAMAGED", $"'{_file.Path}' of '{_repository}' arrived damaged: {why}. It was not stored; import again.");
}
