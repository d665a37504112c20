using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;

namespace Drover.ObjectStore;

/// <summary>The checksum that S3 is told of an upload, and gives back as its tag: MD5, against damage on the way, not against anybody.</summary>
[SuppressMessage("Security", "CA5351", Justification = "S3 asks for MD5; no secret rests on it.")]
internal static class S3Checksum
{
    /// <summary>Of bytes.</summary>
    public static byte[] Of(byte[] bytes) => MD5.HashData(bytes);

    /// <summary>Of what is left of a stream.</summary>
    public static ValueTask<byte[]> OfAsync(Stream stream, CancellationToken cancellation) => MD5.HashDataAsync(stream, cancellation);
}
