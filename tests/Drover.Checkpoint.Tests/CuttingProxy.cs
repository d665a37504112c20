using System.Collections.Concurrent;
using System.Net.Sockets;
using System.Text;
using Drover.Testing;

namespace Drover.Checkpoint.Tests;

/// <summary>Passes connections on to a server, remembers what was asked for, and cuts the first answers of large files in the middle.</summary>
internal sealed class CuttingProxy : IDisposable
{
    private readonly LoopbackListener _listener;
    private readonly Uri _server;
    private readonly ConcurrentQueue<string> _requests = [];
    private int _cutsLeft;

    public CuttingProxy(string server, int cuts)
    {
        (_server, _cutsLeft) = (new Uri(server), cuts);
        _listener = new LoopbackListener(ServeAsync);
    }

    public string Address => $"http://127.0.0.1:{_listener.Port}";

    /// <summary>Request lines, each with its Range where it has one.</summary>
    public IReadOnlyList<string> Requests => [.. _requests];

    public int CutsLeft => _cutsLeft;

    public void Dispose() => _listener.Dispose();

    // One request a connection keeps it simple: the answer ends with the connection.
    private async Task ServeAsync(TcpClient client)
    {
        using (client)
        using (var server = new TcpClient())
        {
            try
            {
                string head = await ReadHeadAsync(client.GetStream());
                if (head.Length == 0)
                    return;
                string range = head.Split("\r\n").FirstOrDefault(l => l.StartsWith("range:", StringComparison.OrdinalIgnoreCase)) ?? "";
                _requests.Enqueue($"{head[..head.IndexOf("\r\n", StringComparison.Ordinal)]} {range}".TrimEnd());
                await server.ConnectAsync(_server.Host, _server.Port);
                List<string> lines = [.. head.Split("\r\n").Where(l => !l.StartsWith("connection:", StringComparison.OrdinalIgnoreCase))];
                lines.Insert(1, "Connection: close");
                string passedOn = string.Join("\r\n", lines);
                await server.GetStream().WriteAsync(Encoding.ASCII.GetBytes(passedOn));
                bool isCut = head.StartsWith("GET ", StringComparison.Ordinal) && head.Contains(".safetensors ", StringComparison.Ordinal) && Interlocked.Decrement(ref _cutsLeft) >= 0;
                await PassAsync(server.GetStream(), client.GetStream(), isCut ? 3000 : int.MaxValue);
            }
            catch (Exception e) when (e is IOException or SocketException)
            {
                // One of the two went away.
            }
        }
    }

    private static async Task<string> ReadHeadAsync(NetworkStream stream)
    {
        var head = new StringBuilder();
        byte[] one = new byte[1];
        while (!head.ToString().EndsWith("\r\n\r\n", StringComparison.Ordinal) && await stream.ReadAsync(one) > 0)
            head.Append((char)one[0]);
        return head.ToString();
    }

    private static async Task PassAsync(NetworkStream from, NetworkStream to, int limit)
    {
        byte[] buffer = new byte[4096];
        int count;
        while (limit > 0 && (count = await from.ReadAsync(buffer.AsMemory(0, Math.Min(buffer.Length, limit)))) > 0)
        {
            await to.WriteAsync(buffer.AsMemory(0, count));
            limit -= count;
        }
    }
}
