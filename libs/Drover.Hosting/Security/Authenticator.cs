using System.Net;
using System.Security.Cryptography.X509Certificates;
using Drover.Errors;
using Microsoft.AspNetCore.Http;

namespace Drover.Hosting.Security;

/// <summary>Finds out who a request is from: a service by its certificate or by the services' key, a user by a key.</summary>
public sealed class Authenticator(SecurityOptions options, ServiceKey serviceKey, ApiKeyStore keys, CallLimits limits, TimeProvider time)
{
    private const string Scheme = "Bearer ";

    /// <summary>Who it is.</summary>
    /// <exception cref="DroverException">Unauthenticated; ResourceExhausted where an address asks for many unknown keys.</exception>
    public async ValueTask<Caller> AuthenticateAsync(HttpContext context)
    {
        if (options.Authentication == "none")
            return Caller.Anyone;
        // The handshake lets no certificate through that the authority did not sign.
        if (context.Connection.ClientCertificate is { } certificate)
            return Caller.Service(certificate.GetNameInfo(X509NameType.SimpleName, forIssuer: false));
        string header = context.Request.Headers.Authorization.ToString();
        if (header.Length == 0)
            throw Refuse("KEY_MISSING", "No key came with the call. Send 'authorization: Bearer KEY'; with the command line: drover login, or DROVER_KEY.");
        if (!header.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase))
            throw Refuse("KEY_MISSING", "The authorization header must be 'Bearer KEY'.");
        string text = header[Scheme.Length..].Trim();
        if (serviceKey.Is(text))
            return Caller.Service("service");
        if (ServiceKey.LooksLikeOne(text))
            throw Refuse("SERVICE_KEY_MISMATCH", "The calling service has another service key than this one. Give all services the same Security:ServiceKey, or one data folder, or TLS.");
        return await OfKeyAsync(text, context).ConfigureAwait(false);
    }

    private async ValueTask<Caller> OfKeyAsync(string text, HttpContext context)
    {
        if (ApiKey.Split(text) is not var (id, secret))
            throw Unknown();
        if (!keys.IsKept(id))
            limits.TakeLookup((context.Connection.RemoteIpAddress ?? IPAddress.None).ToString());
        ApiKey? key = await keys.FindAsync(id, context.RequestAborted).ConfigureAwait(false);
        if (key is null || !key.IsSecret(secret))
            throw Unknown();
        if (key.RevokeTime is { } revoked)
            throw Refuse("KEY_REVOKED", $"The key '{key.Name}' ({key.Id}) was revoked at {revoked:u}.");
        if (key.ExpireTime is { } expires && expires <= time.GetUtcNow())
            throw Refuse("KEY_EXPIRED", $"The key '{key.Name}' ({key.Id}) expired at {expires:u}. Ask for a new one (drover keys create).");
        return new Caller(key.Id, key.Name, ScopeNames.Parse(key.Scopes));
    }

    private static DroverException Unknown() => Refuse("KEY_UNKNOWN", "The key is not known here.");

    private static DroverException Refuse(string reason, string message) => new(FailureCode.Unauthenticated, reason, message);
}
