using System.Globalization;
using System.Security.Cryptography;

namespace Drover.ObjectStore;

/// <summary>
/// The checksum that S3 gives an object that was uploaded in parts, taken from the bytes as they are sent: the MD5 of the parts' MD5s, and
/// the number of parts. Empty while nothing was sent through it.
/// </summary>
internal sealed class PartDigests
{
    /// <summary>Bytes of a part, as the MinIO client cuts an upload of unknown length.</summary>
    public const int PartBytes = 5 << 20;

    private readonly List<byte> _digests = [];
    private readonly IncrementalHash _part = IncrementalHash.CreateHash(HashAlgorithmName.MD5);
    private int _inPart;

    /// <summary>What the store should say; empty when nothing was sent.</summary>
    public string Tag { get; private set; } = "";

    /// <summary>Takes bytes that are sent.</summary>
    public void Add(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            int now = Math.Min(bytes.Length, PartBytes - _inPart);
            _part.AppendData(bytes[..now]);
            _inPart += now;
            bytes = bytes[now..];
            if (_inPart == PartBytes)
                EndPart();
        }
    }

    /// <summary>Whether the store has what was sent. A tag of another form (an encrypted bucket, another server) says nothing.</summary>
    public bool Agree(ObjectInfo stored)
    {
        if (_inPart > 0)
            EndPart();
        if (_digests.Count == 0)
            return true;
        string parts = (_digests.Count / 16).ToString(CultureInfo.InvariantCulture);
        Tag = $"{Convert.ToHexStringLower(S3Checksum.Of(_digests.ToArray()))}-{parts}";
        return stored.Tag == Tag || !stored.Tag.EndsWith("-" + parts, StringComparison.Ordinal) || stored.Tag.Length != Tag.Length;
    }

    private void EndPart()
    {
        _digests.AddRange(_part.GetHashAndReset());
        _inPart = 0;
    }
}
