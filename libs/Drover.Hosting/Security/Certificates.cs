using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Drover.Errors;

namespace Drover.Hosting.Security;

/// <summary>This service's certificate, and the authority by which it knows the others'.</summary>
public sealed class Certificates
{
    private readonly X509Certificate2Collection _authority;

    private Certificates(X509Certificate2? own, X509Certificate2Collection authority)
    {
        Own = own;
        _authority = authority;
    }

    /// <summary>The certificate that is shown, or null.</summary>
    public X509Certificate2? Own { get; }

    /// <summary>Whether there is an authority.</summary>
    public bool HasAuthority => _authority.Count > 0;

    /// <summary>Reads what the options name.</summary>
    /// <param name="options">The options.</param>
    /// <param name="isNeeded">Whether an address is https.</param>
    /// <exception cref="DroverException">InvalidArgument, naming what is missing or cannot be read.</exception>
    public static Certificates Load(SecurityOptions options, bool isNeeded)
    {
        var problems = new List<string>();
        foreach ((string name, string file) in new[] { ("CertificateFile", options.CertificateFile), ("PrivateKeyFile", options.PrivateKeyFile), ("AuthorityFile", options.AuthorityFile) })
        {
            if (isNeeded && file.Length == 0)
                problems.Add($"Security:{name} is empty, and an address is https");
            else if (file.Length > 0 && !File.Exists(file))
                problems.Add($"Security:{name}: there is no file '{file}'");
        }

        if (problems.Count > 0)
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_TLS", $"Configuration: {string.Join("; ", problems)}.");
        try
        {
            X509Certificate2? own = options.CertificateFile.Length > 0 ? WithKey(options) : null;
            var authority = new X509Certificate2Collection();
            if (options.AuthorityFile.Length > 0)
                authority.ImportFromPemFile(options.AuthorityFile);
            return new Certificates(own, authority);
        }
        catch (CryptographicException e)
        {
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_TLS", $"Configuration: a certificate or key of section Security cannot be read: {e.Message}", e);
        }
    }

    /// <summary>Whether a certificate was signed by the authority and is in its time.</summary>
    public bool IsOfAuthority(X509Certificate2 certificate)
    {
        if (!HasAuthority)
            return false;
        using var chain = new X509Chain();
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.CustomTrustStore.AddRange(_authority);
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        return chain.Build(certificate);
    }

    private static X509Certificate2 WithKey(SecurityOptions options)
    {
        using X509Certificate2 ephemeral = X509Certificate2.CreateFromPemFile(options.CertificateFile, options.PrivateKeyFile);
        // TLS on some systems wants the key in a container.
        return X509CertificateLoader.LoadPkcs12(ephemeral.Export(X509ContentType.Pkcs12), null);
    }
}
