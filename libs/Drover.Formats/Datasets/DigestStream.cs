using System.IO.Hashing;
using Drover.ObjectStore;

namespace Drover.Formats.Datasets;

/// <summary>Passes bytes on and takes their XXH128: of all of them, and of each stretch between two calls of <see cref="TakePart"/>.</summary>
internal sealed class DigestStream(Stream target) : ForwardWriteStream
{
    private readonly XxHash128 _whole = new();
    private readonly XxHash128 _part = new();

    /// <summary>Digest of what was written since the last call, lower-case hex.</summary>
    public string TakePart() => Convert.ToHexStringLower(_part.GetHashAndReset());

    /// <summary>Digest of everything written so far, lower-case hex.</summary>
    public string Digest() => Convert.ToHexStringLower(_whole.GetCurrentHash());

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        target.Write(buffer);
        _whole.Append(buffer);
        _part.Append(buffer);
        Written += buffer.Length;
    }

    public override void Flush() => target.Flush();
}
