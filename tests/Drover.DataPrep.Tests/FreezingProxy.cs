using System.Net.Sockets;
using Drover.Testing;

namespace Drover.DataPrep.Tests;

/// <summary>Passes connections on to a server; while it is frozen it takes connections and passes no byte.</summary>
internal sealed class FreezingProxy : IDisposable
{
    private readonly LoopbackListener _listener;
    private readonly Uri _server;
    private readonly CancellationTokenSource _stop = new();

    public FreezingProxy(Uri server)
    {
        _server = server;
        _listener = new LoopbackListener(ServeAsync);
    }

    public string Address => $"http://127.0.0.1:{_listener.Port}";

    public bool IsFrozen { get; set; }

    public void Dispose()
    {
        _stop.Cancel();
        _listener.Dispose();
        _stop.Dispose();
    }

    private async Task ServeAsync(TcpClient client)
    {
        using (client)
        using (var server = new TcpClient())
        {
            try
            {
                await server.ConnectAsync(_server.Host, _server.Port);
                await Task.WhenAny(PassAsync(client.GetStream(), server.GetStream()), PassAsync(server.GetStream(), client.GetStream()));
            }
            catch (Exception e) when (e is IOException or SocketException or ObjectDisposedException or OperationCanceledException)
            {
                // One of the two went away.
            }
        }
    }

    private async Task PassAsync(NetworkStream from, NetworkStream to)
    {
        byte[] buffer = new byte[1 << 16];
        int count;
        while ((count = await from.ReadAsync(buffer, _stop.Token)) > 0)
        {
            while (IsFrozen)
                await Task.Delay(20, _stop.Token);
            await to.WriteAsync(buffer.AsMemory(0, count), _stop.Token);
        }
    }
}
