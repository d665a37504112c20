using System.Security.Cryptography;
using Drover.Errors;
using Drover.ObjectStore;
using Drover.Protocol.Checkpoint.V1;

namespace Drover.Cli.Models;

/// <summary>A file that is being fetched; it is open for one pull only.</summary>
internal sealed class PartialFile : IDisposable
{
    /// <summary>Reason of the failure when the bytes are not those of the model.</summary>
    public const string Damaged = "PULL_DAMAGED";

    private const int BufferBytes = 1 << 20;
    private readonly string _path;
    private readonly FileStream _part;
    private readonly WriteBehind _behind;
    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

    private PartialFile(string path, ModelFile expected, FileStream part)
    {
        _path = path;
        _part = part;
        _behind = new WriteBehind(part);
        Expected = expected;
    }

    public ModelFile Expected { get; }

    /// <summary>Bytes that are there.</summary>
    public long Length => _part.Length;

    /// <summary>Opens "PATH.part" and reads what an earlier pull left in it.</summary>
    /// <exception cref="DroverException">Aborted while another pull writes it.</exception>
    public static async Task<PartialFile> OpenAsync(string path, ModelFile expected, CancellationToken cancellation)
    {
        string part = path + ".part";
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(part))!);
        FileStream stream;
        try
        {
            stream = new FileStream(part, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException e) when (File.Exists(part))
        {
            throw new DroverException(FailureCode.Aborted, "PULL_RUNNING", $"Another pull is writing '{part}'. Wait for it, or pull into another folder.", e);
        }

        var file = new PartialFile(path, expected, stream);
        if (stream.Length > expected.SizeBytes)
            stream.SetLength(0);
        byte[] buffer = new byte[BufferBytes];
        for (int count; (count = await stream.ReadAsync(buffer, cancellation).ConfigureAwait(false)) > 0;)
            file._hash.AppendData(buffer, 0, count);
        return file;
    }

    public async Task AppendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellation)
    {
        _hash.AppendData(bytes.Span);
        await _part.WriteAsync(bytes, cancellation).ConfigureAwait(false);
        _behind.Written();
    }

    /// <summary>Checks the digest and gives the file its name.</summary>
    /// <exception cref="DroverException">DataLoss; the bytes are thrown away.</exception>
    public void Complete()
    {
        string digest = Convert.ToHexStringLower(_hash.GetHashAndReset());
        if (digest != Expected.Sha256)
        {
            _part.SetLength(0);
            throw new DroverException(FailureCode.DataLoss, Damaged, $"'{Expected.Path}' arrived damaged (SHA-256 {digest}, expected {Expected.Sha256}). It was thrown away; pull again.");
        }

        _part.Flush(flushToDisk: true);
        File.Move(_part.Name, _path, overwrite: true);
        _part.Dispose();
    }

    public void Dispose()
    {
        _part.Dispose();
        _hash.Dispose();
    }
}
