using System.Net;

namespace Drover.Hosting.Security;

/// <summary>What an address says of who reaches it.</summary>
public static class SecurityAddresses
{
    /// <summary>Whether an address is reached from this machine only.</summary>
    public static bool IsLoopback(Uri address) =>
        address.Host == "localhost" || (IPAddress.TryParse(address.Host.Trim('[', ']'), out IPAddress? ip) && IPAddress.IsLoopback(ip));
}
