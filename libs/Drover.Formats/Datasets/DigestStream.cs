using System.IO.Hashing;
using Drover.ObjectStore;

namespace Drover.Formats.Datasets;

/// <summary>Passes bytes on and takes their XXH128: of all of them, and of each stretch between two calls of <see cref="TakePart"/>.</summary>
internal sealed class DigestStream(Stream target) : ForwardWriteStream
{
    private const int PieceBytes = 1 << 15;
    private readonly XxHash128 _whole = new();
    private readonly XxHash128 _part = new();

    /// <summary>Digest of what was written since the last call, lower-case hex.</summary>
    public string TakePart() => Convert.ToHexStringLower(_part.GetHashAndReset());

    /// <summary>Digest of everything written so far, lower-case hex.</summary>
    public string Digest() => Convert.ToHexStringLower(_whole.GetCurrentHash());

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        // Piece by piece, so that a processor's own cache holds what is read three times.
        for (; !buffer.IsEmpty; buffer = buffer[Math.Min(PieceBytes, buffer.Length)..])
        {
            ReadOnlySpan<byte> piece = buffer[..Math.Min(PieceBytes, buffer.Length)];
            target.Write(piece);
            _whole.Append(piece);
            _part.Append(piece);
            Written += piece.Length;
        }
    }

    public override void Flush() => target.Flush();
}
