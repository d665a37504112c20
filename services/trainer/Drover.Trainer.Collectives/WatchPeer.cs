using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace Drover.Trainer.Collectives;

/// <summary>The connection to one other rank: lines of JSON in both directions.</summary>
internal sealed class WatchPeer : IDisposable
{
    private const int ReaderStackBytes = 256 << 10;
    private readonly TcpClient _client;
    private readonly StreamReader _reader;
    private readonly Lock _sending = new();

    public WatchPeer(int rank, TcpClient client, StreamReader reader)
    {
        (Rank, _client, _reader) = (rank, client, reader);
        LastHeard = Environment.TickCount64;
    }

    public int Rank { get; }

    /// <summary>When the last line came, by Environment.TickCount64.</summary>
    public long LastHeard { get; set; }

    /// <summary>What it told last; null before the first.</summary>
    public RankBeat? Beat { get; private set; }

    /// <summary>Whether it said good-bye.</summary>
    public bool HasLeft { get; private set; }

    /// <summary>Reads on a thread of its own until the connection ends.</summary>
    /// <param name="onLost">The other side tells of a lost rank.</param>
    /// <param name="onBroken">The connection ended without good-bye.</param>
    public void Read(Action<string> onLost, Action<WatchPeer> onBroken)
    {
        var thread = new Thread(() =>
        {
            try
            {
                while (!HasLeft && _reader.ReadLine() is { } line)
                    Take(JsonSerializer.Deserialize(line, WatchJson.Default.WatchLine)!, onLost);
            }
            catch (Exception e) when (e is IOException or ObjectDisposedException or JsonException)
            {
                // As good as an end.
            }

            if (!HasLeft)
                onBroken(this);
        }, ReaderStackBytes)
        { IsBackground = true, Name = $"watch of rank {Rank}" };
        thread.Start();
    }

    /// <summary>Sends a line; a broken connection is found by the reader.</summary>
    public void Send(WatchLine line)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(JsonSerializer.Serialize(line, WatchJson.Default.WatchLine) + "\n");
        try
        {
            lock (_sending)
                _client.GetStream().Write(bytes);
        }
        catch (Exception e) when (e is IOException or InvalidOperationException)
        {
            // The reader has the same end before it.
        }
    }

    public void Dispose()
    {
        _reader.Dispose();
        _client.Dispose();
    }

    private void Take(WatchLine line, Action<string> onLost)
    {
        LastHeard = Environment.TickCount64;
        Beat = line.Beat ?? Beat;
        HasLeft = line.Bye;
        if (line.Lost is not null)
            onLost(line.Lost);
    }
}
