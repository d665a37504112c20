using System.Globalization;
using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace Drover.Trainer.Collectives;

/// <summary>Makes the connections of a <see cref="RankWatch"/>: rank 0 listens, tells where through MPI, and the others come.</summary>
internal static class WatchStar
{
    private const int TokenBytes = 16;

    /// <summary>On rank 0 the connections to all others that came, elsewhere the one to rank 0, or none where it cannot be reached.</summary>
    public static IReadOnlyList<WatchPeer> Connect(ICollectives world, TimeSpan limit)
    {
        byte[][] hosts = world.GatherBytes(Encoding.UTF8.GetBytes(Environment.MachineName));
        bool oneHost = hosts.All(h => h.AsSpan().SequenceEqual(hosts[0]));
        if (world.Rank != 0)
        {
            WatchPlace place = JsonSerializer.Deserialize(world.GatherBytes([])[0], WatchJson.Default.WatchPlace)!;
            return Reach(place, world.Rank, limit) is { } peer ? [peer] : [];
        }

        using var listener = new TcpListener(oneHost ? IPAddress.Loopback : IPAddress.Any, 0);
        listener.Start(world.WorldSize);
        var mine = new WatchPlace(Environment.MachineName, oneHost ? ["127.0.0.1"] : Addresses(), ((IPEndPoint)listener.LocalEndpoint).Port, Convert.ToHexString(RandomNumberGenerator.GetBytes(TokenBytes)));
        world.GatherBytes(JsonSerializer.SerializeToUtf8Bytes(mine, WatchJson.Default.WatchPlace));
        return Accept(listener, mine.Token, world.WorldSize, limit);
    }

    private static List<WatchPeer> Accept(TcpListener listener, string token, int ranks, TimeSpan limit)
    {
        var peers = new List<WatchPeer>();
        using var end = new CancellationTokenSource(limit);
        try
        {
            while (peers.Count < ranks - 1)
            {
                TcpClient client = listener.AcceptTcpClientAsync(end.Token).AsTask().GetAwaiter().GetResult();
                Configure(client, limit);
                var reader = new StreamReader(client.GetStream());
                // A stranger may say nothing at all: no longer than the limit.
                client.ReceiveTimeout = (int)limit.TotalMilliseconds;
                string[] greeting = (ReadLine(reader) ?? "").Split(' ');
                client.ReceiveTimeout = 0;
                if (greeting.Length == 2 && CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(greeting[0]), Encoding.UTF8.GetBytes(token)))
                    peers.Add(new WatchPeer(int.Parse(greeting[1], CultureInfo.InvariantCulture), client, reader));
                else
                    client.Dispose();
            }
        }
        catch (OperationCanceledException)
        {
            int[] missing = [.. Enumerable.Range(1, ranks - 1).Except(peers.Select(p => p.Rank))];
            Console.Error.WriteLine($"warning: {ThreadWorld.Names(missing)} could not reach rank 0 by TCP, so nobody notices if they stop. Open the ports between the machines.");
        }

        return peers;
    }

    private static WatchPeer? Reach(WatchPlace place, int rank, TimeSpan limit)
    {
        foreach (string address in place.Addresses)
        {
            var client = new TcpClient();
            try
            {
                using var end = new CancellationTokenSource(limit / place.Addresses.Length);
                client.ConnectAsync(IPAddress.Parse(address), place.Port, end.Token).AsTask().GetAwaiter().GetResult();
                Configure(client, limit);
                client.GetStream().Write(Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{place.Token} {rank}\n")));
                return new WatchPeer(0, client, new StreamReader(client.GetStream()));
            }
            catch (Exception e) when (e is SocketException or IOException or OperationCanceledException)
            {
                // The next address; rank 0 warns if none is left.
                client.Dispose();
            }
        }

        return null;
    }

    private static string? ReadLine(StreamReader reader)
    {
        try
        {
            return reader.ReadLine();
        }
        catch (IOException)
        {
            return null;
        }
    }

    private static void Configure(TcpClient client, TimeSpan limit)
    {
        client.NoDelay = true;
        client.SendTimeout = (int)limit.TotalMilliseconds;
    }

    private static string[] Addresses() =>
        [.. NetworkInterface.GetAllNetworkInterfaces()
            .Where(i => i.OperationalStatus == OperationalStatus.Up && i.NetworkInterfaceType != NetworkInterfaceType.Loopback)
            .SelectMany(i => i.GetIPProperties().UnicastAddresses)
            .Where(a => a.Address.AddressFamily == AddressFamily.InterNetwork)
            .Select(a => a.Address.ToString())];
}
