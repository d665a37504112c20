using System.Net;
using System.Net.Sockets;

namespace Drover.Testing;

/// <summary>Takes connections on the loopback until it is disposed, for proxies that stand between a program and a server.</summary>
public sealed class LoopbackListener : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);

    /// <summary>Begins to listen.</summary>
    /// <param name="serve">Is given each connection, and disposes of it.</param>
    public LoopbackListener(Func<TcpClient, Task> serve)
    {
        _listener.Start();
        Port = ((IPEndPoint)_listener.LocalEndpoint).Port;
        _ = AcceptAsync(serve);
    }

    /// <summary>Where it listens.</summary>
    public int Port { get; }

    /// <inheritdoc />
    public void Dispose() => _listener.Dispose();

    private async Task AcceptAsync(Func<TcpClient, Task> serve)
    {
        try
        {
            while (true)
                _ = serve(await _listener.AcceptTcpClientAsync().ConfigureAwait(false));
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Disposed.
        }
    }
}
