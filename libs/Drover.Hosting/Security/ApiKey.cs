using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Serialization;

namespace Drover.Hosting.Security;

/// <summary>
/// A key as it is stored: its secret only as SHA-256. The secrets are 32 random bytes, so a slow hash would add nothing: there is
/// no list of likely ones to try.
/// </summary>
/// <param name="Id">8 hex digits; stands in the key itself.</param>
/// <param name="Name">For people.</param>
/// <param name="Scopes">Words of <see cref="ScopeNames"/>.</param>
/// <param name="SecretSha256">Lower-case hex.</param>
/// <param name="CreateTime">When it was made.</param>
/// <param name="ExpireTime">From when on it is refused; null: never.</param>
/// <param name="RevokeTime">When it was revoked, or null.</param>
public sealed record ApiKey(string Id, string Name, IReadOnlyList<string> Scopes, string SecretSha256, DateTimeOffset CreateTime, DateTimeOffset? ExpireTime, DateTimeOffset? RevokeTime)
{
    private const string Prefix = "drover";
    private const int IdCharacters = 8;
    private const int SecretBytes = 32;

    /// <summary>Makes a key.</summary>
    /// <returns>What is stored, and the text that its owner gets once.</returns>
    public static (ApiKey Key, string Text) Make(string id, string name, Scopes scopes, DateTimeOffset now, DateTimeOffset? expires)
    {
        string secret = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(SecretBytes));
        return (new ApiKey(id, name, ScopeNames.Words(scopes), Hash(secret), now, expires, null), $"{Prefix}_{id}_{secret}");
    }

    /// <summary>What is stored of a text that is a key.</summary>
    /// <exception cref="ArgumentException">It is none.</exception>
    public static ApiKey Of(string text, string name, Scopes scopes, DateTimeOffset now)
    {
        (string id, string secret) = Split(text) ?? throw new ArgumentException("The text is no key.", nameof(text));
        return new ApiKey(id, name, ScopeNames.Words(scopes), Hash(secret), now, null, null);
    }

    /// <summary>An id that nobody has.</summary>
    public static string NewId() => Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(IdCharacters / 2));

    /// <summary>The id that a request id leads to, always the same.</summary>
    public static string IdOf(string requestId) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(requestId)))[..IdCharacters];

    /// <summary>Id and secret of a key's text, or null where it is none.</summary>
    public static (string Id, string Secret)? Split(string text) =>
        text.Split('_') is [Prefix, { Length: IdCharacters } id, { Length: SecretBytes * 2 } secret] && IsHex(id) && IsHex(secret) ? (id, secret) : null;

    /// <summary>Whether this is the key's secret, in a time that says nothing of it.</summary>
    public bool IsSecret(string secret) =>
        CryptographicOperations.FixedTimeEquals(Encoding.ASCII.GetBytes(Hash(secret)), Encoding.ASCII.GetBytes(SecretSha256));

    internal static string Hash(string secret) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(secret)));

    private static bool IsHex(string text) => text.All(char.IsAsciiHexDigitLower);
}

/// <summary>Keys as JSON, one object of the store each.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true)]
[JsonSerializable(typeof(ApiKey))]
internal sealed partial class ApiKeyJson : JsonSerializerContext;
