using System.Net;
using System.Net.Sockets;

namespace Drover.Testing;

/// <summary>
/// Ports for services that tests start. They lie below those that the kernel gives to whoever connects, each is given once by a process, and
/// processes begin at different ones: a port that was free a moment ago is not somebody else's by the time the service listens.
/// </summary>
public static class LoopbackPort
{
    private const int First = 12_000;
    private const int Count = 20_000;
    private static int _given = Environment.ProcessId * 97 % Count;

    /// <summary>A port that nobody listens on now.</summary>
    public static int Free()
    {
        while (true)
        {
            int port = First + (Interlocked.Increment(ref _given) % Count);
            try
            {
                using var listener = new TcpListener(IPAddress.Loopback, port);
                listener.Start();
                return port;
            }
            catch (SocketException)
            {
                // Taken: the next one.
            }
        }
    }
}
