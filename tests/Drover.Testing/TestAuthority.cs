using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Drover.Testing;

/// <summary>An authority that signs certificates for services on the loopback, in files of a folder.</summary>
public sealed class TestAuthority : IDisposable
{
    private readonly X509Certificate2 _root;
    private readonly string _folder;

    /// <summary>Makes one.</summary>
    public TestAuthority(string folder)
    {
        _folder = Directory.CreateDirectory(folder).FullName;
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=Drover test authority", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        _root = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        File.WriteAllText(CertificateFile, _root.ExportCertificatePem());
    }

    /// <summary>The authority's own certificate.</summary>
    public string CertificateFile => Path.Combine(_folder, "authority.pem");

    /// <summary>A certificate with its key, for 127.0.0.1 and these names.</summary>
    public X509Certificate2 Sign(string name, DateTimeOffset? until = null, params IEnumerable<string> hosts)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        foreach (string host in hosts)
            names.AddDnsName(host);
        request.CertificateExtensions.Add(names.Build());
        byte[] serial = RandomNumberGenerator.GetBytes(8);
        using X509Certificate2 signed = request.Create(_root, DateTimeOffset.UtcNow.AddHours(-2), until ?? DateTimeOffset.UtcNow.AddHours(2), serial);
        using X509Certificate2 whole = signed.CopyWithPrivateKey(key);
        return X509CertificateLoader.LoadPkcs12(whole.Export(X509ContentType.Pkcs12), null, X509KeyStorageFlags.Exportable);
    }

    /// <summary>Settings of a service whose certificate this authority signed.</summary>
    public string[] Settings(string name)
    {
        (string certificate, string key) = Write(name, []);
        return [$"--Security:CertificateFile={certificate}", $"--Security:PrivateKeyFile={key}", $"--Security:AuthorityFile={CertificateFile}"];
    }

    /// <summary>Signs a certificate and writes it and its key to files.</summary>
    public (string Certificate, string Key) Write(string name, IEnumerable<string> hosts)
    {
        using X509Certificate2 certificate = Sign(name, null, hosts);
        string file = Path.Combine(_folder, $"{name}.pem"), key = Path.Combine(_folder, $"{name}.key");
        File.WriteAllText(file, certificate.ExportCertificatePem());
        using ECDsa secret = certificate.GetECDsaPrivateKey()!;
        File.WriteAllText(key, secret.ExportPkcs8PrivateKeyPem());
        return (file, key);
    }

    /// <inheritdoc />
    public void Dispose() => _root.Dispose();
}
