using System.IO.Hashing;
using System.Security.Cryptography;

namespace Drover.Formats.Datasets;

/// <summary>Passes bytes on and takes digests: SHA-256 of all of them, and XXH128 of each stretch between two calls of <see cref="TakePart"/>.</summary>
internal sealed class DigestStream(Stream target) : ForwardWriteStream
{
    private readonly IncrementalHash _whole = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private readonly XxHash128 _part = new();

    /// <summary>Digest of what was written since the last call, lower-case hex.</summary>
    public string TakePart() => Convert.ToHexStringLower(_part.GetHashAndReset());

    /// <summary>Digest of everything written so far, lower-case hex.</summary>
    public string Digest() => Convert.ToHexStringLower(_whole.GetCurrentHash());

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        target.Write(buffer);
        _whole.AppendData(buffer);
        _part.Append(buffer);
        Written += buffer.Length;
    }

    public override void Flush() => target.Flush();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            _whole.Dispose();
        base.Dispose(disposing);
    }
}
