using System.Security.Cryptography;
using Drover.Protocol.Gateway.V1;

namespace Drover.Cli.Inputs;

/// <summary>A file of this machine with its digest.</summary>
/// <param name="Path">Where it is.</param>
/// <param name="Name">Its name in the object store, with the folders below the uploaded one.</param>
/// <param name="Size">Bytes.</param>
/// <param name="Digest">SHA-256, lower-case hex.</param>
internal sealed record LocalFile(string Path, string Name, long Size, string Digest)
{
    public static async Task<LocalFile> ReadAsync(string path, string name, CancellationToken cancellation)
    {
        // Hashing reads 4 KiB at a time: out of this buffer.
        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 20);
        byte[] digest = await SHA256.HashDataAsync(stream, cancellation).ConfigureAwait(false);
        return new LocalFile(path, Plain(name), stream.Length, Convert.ToHexStringLower(digest));
    }

    /// <summary>Its key in an uploaded folder, or alone ("").</summary>
    public string KeyIn(string folder) => $"inputs/{(folder.Length > 0 ? folder : Digest)}/{Name}";

    public UploadHeader HeaderIn(string folder)
    {
        string key = KeyIn(folder);
        int slash = key.LastIndexOf('/');
        return new UploadHeader { FileName = key[(slash + 1)..], Folder = key["inputs/".Length..slash], SizeBytes = Size, Sha256 = Digest };
    }

    // Keys are of plain characters only; the digest, not the name, says what a file is.
    private static string Plain(string name) =>
        new([.. name.Select(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_' or '/' ? c : '_')]);
}
