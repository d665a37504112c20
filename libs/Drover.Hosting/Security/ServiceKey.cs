using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Configuration;

namespace Drover.Hosting.Security;

/// <summary>
/// What services without TLS show each other. With TLS there is none: their certificates say who they are, and a key that travelled
/// beside them would only be one more thing to lose.
/// </summary>
public sealed class ServiceKey
{
    private const string Prefix = "drover-service_";
    private readonly byte[] _hash;

    private ServiceKey(string text)
    {
        Text = text;
        _hash = SHA256.HashData(Encoding.UTF8.GetBytes(text));
    }

    /// <summary>The key; empty where there is none.</summary>
    public string Text { get; }

    /// <summary>The key of the options, or of the file that the services of a data folder share.</summary>
    public static ServiceKey Load(SecurityOptions options, bool isTls, IConfiguration configuration)
    {
        if (isTls || options.Authentication == "none")
            return new ServiceKey("");
        if (options.ServiceKey.Length > 0)
            return new ServiceKey(options.ServiceKey);
        string file = Path.Combine(DroverHost.DataFolder(configuration, "access"), "service.key");
        return new ServiceKey(PrivateFile.ReadOrMake(file, () => Prefix + Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32))));
    }

    /// <summary>Whether this is the key, in a time that says nothing of it.</summary>
    public bool Is(string text) =>
        Text.Length > 0 && CryptographicOperations.FixedTimeEquals(SHA256.HashData(Encoding.UTF8.GetBytes(text)), _hash);

    /// <summary>Whether a text looks like a key of services.</summary>
    public static bool LooksLikeOne(string text) => text.StartsWith(Prefix, StringComparison.Ordinal);
}
