namespace Drover.Discovery;

/// <summary>How services find each other. Configuration section "Discovery".</summary>
public sealed record DiscoveryOptions
{
    /// <summary>Address of a Consul agent, e.g. http://127.0.0.1:8500. Empty: the addresses of section "Services".</summary>
    public string ConsulAddress { get; set; } = "";

    /// <summary>Token for Consul, where it has access control: service write on drover-*, and read.</summary>
    public string ConsulToken { get; set; } = "";

    /// <summary>Certificates (PEM) that an https agent is trusted by, in place of the system's.</summary>
    public string ConsulCertificateFile { get; set; } = "";

    /// <summary>Host or address by which others reach this service. Empty: that of its own entry in section "Services".</summary>
    public string AdvertiseHost { get; set; } = "";

    /// <summary>How long a service that does not answer Consul's health check stays in the catalogue, seconds, 60 to 86400.</summary>
    public int DeregisterSeconds { get; set; } = 60;

    // A record prints its members; the token is a secret.
    private bool PrintMembers(System.Text.StringBuilder text)
    {
        text.Append(System.Globalization.CultureInfo.InvariantCulture, $"ConsulAddress = {ConsulAddress}, ConsulToken = {(ConsulToken.Length > 0 ? "***" : "")}, AdvertiseHost = {AdvertiseHost}");
        return true;
    }
}
