using System.Security.Cryptography;

namespace Drover.ObjectStore;

/// <summary>
/// SHA-256 of streams, a mebibyte at a time, the next one being read while one is hashed: the class library's own way reads 4 KiB at a time,
/// each of them a call of the kernel.
/// </summary>
public static class StreamDigest
{
    private const int BufferBytes = 1 << 20;

    /// <summary>Of what is left of a stream, lower-case hex.</summary>
    public static async Task<string> Sha256Async(Stream stream, CancellationToken cancellation)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] current = new byte[BufferBytes], next = new byte[BufferBytes];
        int count = await stream.ReadAsync(current, cancellation).ConfigureAwait(false);
        while (count > 0)
        {
            ValueTask<int> reading = stream.ReadAsync(next, cancellation);
            hash.AppendData(current, 0, count);
            count = await reading.ConfigureAwait(false);
            (current, next) = (next, current);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>Of an object, lower-case hex.</summary>
    /// <exception cref="Drover.Errors.DroverException">NotFound.</exception>
    public static async Task<string> Sha256Async(this IObjectStore store, string key, CancellationToken cancellation)
    {
        Stream stream = await store.OpenReadAsync(key, 0, null, cancellation).ConfigureAwait(false);
        await using (stream.ConfigureAwait(false))
            return await Sha256Async(stream, cancellation).ConfigureAwait(false);
    }
}
