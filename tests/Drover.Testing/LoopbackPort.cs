using System.Net;
using System.Net.Sockets;

namespace Drover.Testing;

/// <summary>Ports for services that tests start.</summary>
public static class LoopbackPort
{
    /// <summary>A port that nobody listens on now.</summary>
    public static int Free()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
