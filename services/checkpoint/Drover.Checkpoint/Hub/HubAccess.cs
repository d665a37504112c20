using System.Security.Cryptography;
using System.Text;

namespace Drover.Checkpoint.Hub;

/// <summary>Who may pull: everybody, or who gives one of the keys of a file as "Authorization: Bearer KEY". The file is read anew when it changes.</summary>
internal sealed class HubAccess(CheckpointOptions options)
{
    private readonly Lock _lock = new();
    private (DateTime Written, byte[][] Digests) _keys;

    /// <summary>Whether a request may go on.</summary>
    public bool Allows(HttpRequest request)
    {
        if (options.HubKeysFile.Length == 0)
            return true;
        const string scheme = "Bearer ";
        string given = request.Headers.Authorization.ToString();
        if (!given.StartsWith(scheme, StringComparison.OrdinalIgnoreCase))
            return false;
        byte[] digest = SHA256.HashData(Encoding.UTF8.GetBytes(given[scheme.Length..].Trim()));
        bool isKnown = false;
        // All of them, so that time tells nothing of which.
        foreach (byte[] key in Digests())
            isKnown |= CryptographicOperations.FixedTimeEquals(key, digest);
        return isKnown;
    }

    private byte[][] Digests()
    {
        lock (_lock)
        {
            DateTime written = File.GetLastWriteTimeUtc(options.HubKeysFile);
            if (_keys.Digests is null || written != _keys.Written)
                _keys = (written, [.. File.ReadAllLines(options.HubKeysFile).Select(l => l.Trim()).Where(l => l.Length > 0 && l[0] != '#').Select(l => SHA256.HashData(Encoding.UTF8.GetBytes(l)))]);
            return _keys.Digests;
        }
    }
}
