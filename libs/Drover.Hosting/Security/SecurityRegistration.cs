using Drover.Discovery;
using Drover.Errors;
using Drover.ObjectStore;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;

namespace Drover.Hosting.Security;

/// <summary>Adds identity and TLS to a service.</summary>
internal static class SecurityRegistration
{
    /// <summary>Reads section "Security", checks it whole, and adds what it asks for.</summary>
    /// <returns>The certificates that the service listens with.</returns>
    public static Certificates AddSecurity(this WebApplicationBuilder builder, OwnService own)
    {
        SecurityOptions options = builder.Configuration.GetSection("Security").Get<SecurityOptions>() ?? new SecurityOptions();
        Check(options, own);
        bool isHttps = own.Address.Scheme == Uri.UriSchemeHttps;
        var certificates = Certificates.Load(options, isHttps);
        string audit = options.AuditFile.Length > 0 ? options.AuditFile
            : options.Authentication == "none" ? "none"
            : Path.Combine(DroverHost.DataFolder(builder.Configuration, "access"), $"audit-{own.Name}.jsonl");
        builder.Services.AddSingleton(options);
        builder.Services.AddSingleton(certificates);
        builder.Services.AddSingleton(ServiceKey.Load(options, isHttps || certificates.Own is not null, builder.Configuration));
        builder.Services.AddSingleton(p => new ApiKeyStore(p.GetRequiredService<IObjectStore>(), p.GetRequiredService<TimeProvider>()));
        builder.Services.AddSingleton<CallLimits>();
        builder.Services.AddSingleton<Authenticator>();
        builder.Services.AddSingleton(p => new AuditLog(own.Name, audit, p.GetRequiredService<TimeProvider>()));
        return certificates;
    }

    private static void Check(SecurityOptions options, OwnService own)
    {
        var problems = new List<string>();
        if (options.Authentication is not ("keys" or "none"))
            problems.Add($"Security:Authentication is '{options.Authentication}'; it must be keys or none");
        if (options.Authentication == "none" && !SecurityAddresses.IsLoopback(own.Address))
            problems.Add($"Security:Authentication=none is for loopback addresses only; '{own.Name}' listens at {own.Address}");
        if (options.RequestsPerSecond is < 1 or > 1_000_000)
            problems.Add("Security:RequestsPerSecond must be 1 to 1000000");
        if (options.AdminKey.Length > 0 && ApiKey.Split(options.AdminKey) is null)
            problems.Add("Security:AdminKey must be drover_, 8 hex digits, _, 64 hex digits (openssl rand -hex 32)");
        if (options.ServiceKey.Length is > 0 and < 32)
            problems.Add("Security:ServiceKey must have 32 characters at least (openssl rand -hex 32)");
        if (problems.Count > 0)
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_SECURITY", $"Configuration: {string.Join("; ", problems)}.");
    }
}
