using System.Net.Http.Headers;
using Drover.Protocol;
using Drover.Testing;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Google.Rpc;
using Grpc.Core;

namespace Drover.Integration.Tests;

/// <summary>Every RPC of the real services, called through the gateway with messages that nobody should send.</summary>
public sealed class HostileCalls
{
    private const int MessagesPerRpc = 6;
    private const int MutationsPerRpc = 4;
    private const int Seed = 20261125;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    // Minutes long, so only when asked for: -explicit on.
    [Fact(Explicit = true)]
    public async Task Odd_broken_and_oversized_messages_are_refused_and_no_service_is_harmed()
    {
        using var folder = new TemporaryFolder();
        await using DroverProcesses drover = await DroverProcesses.StartAsync(Shape.AllInOne, folder["data"]);
        using var http = new HttpClient { BaseAddress = new Uri(drover.Gateway), Timeout = Patience };
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", drover.Key);
        var random = new Random(Seed);
        var messages = new RandomMessages(random);
        var faults = new List<string>();
        int calls = 0;
        foreach (MethodDescriptor method in DroverRpcs.Methods)
        {
            string rpc = DroverRpcs.PathOf(method);
            for (int i = 0; i < MessagesPerRpc + MutationsPerRpc; i++, calls++)
            {
                byte[] message = messages.Of(method.InputType).ToByteArray();
                byte[] frame = Rpcs.Frame(message);
                if (i >= MessagesPerRpc)
                    frame = Mutate(frame, random);
                if (await FaultAsync(http, rpc, frame) is { } fault)
                    faults.Add($"{rpc}: {fault} for {Convert.ToHexString(message.AsSpan(0, Math.Min(300, message.Length)))}");
            }

            if (await FaultAsync(http, rpc, Rpcs.Frame(new byte[17 << 20])) is { } large)
                faults.Add($"{rpc}: {large} for 17 MiB");
        }

        TestContext.Current.TestOutputHelper?.WriteLine($"{calls} calls of {DroverRpcs.Methods.Count} RPCs");
        (int code, string output, string error) = await drover.CliAsync("status");
        Assert.True(code == 0, $"{output}{error}\n{drover.Logs()}");
        Assert.True(faults.Count == 0, string.Join('\n', faults) + "\n" + drover.Logs());
    }

    // What a status says that is a fault of ours, or null. A watch that goes on is broken off: it did not fail.
    private static async Task<string?> FaultAsync(HttpClient http, string rpc, byte[] frame)
    {
        using HttpRequestMessage request = Rpcs.Raw(rpc, frame);
        try
        {
            using HttpResponseMessage answer = await http.SendAsync(request, Cancellation);
            if (Rpcs.StatusOf(answer) is not { } status)
                return "no status";
            if (Rpcs.DetailsOf(answer) is not { } details)
                return status == StatusCode.Unknown ? "UNKNOWN without a reason" : null;
            return details.Details.Any(any => any.TryUnpack(out ErrorInfo info) && info.Reason == "INTERNAL") ? details.Message : null;
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException && !Cancellation.IsCancellationRequested)
        {
            // The connection was closed on what is no gRPC at all, or a watch goes on.
            return null;
        }
    }

    private static byte[] Mutate(byte[] frame, Random random)
    {
        byte[] bytes = [.. frame];
        switch (random.Next(4))
        {
            case 0:
                return bytes[..random.Next(bytes.Length)];
            case 1:
                bytes[random.Next(5)] = (byte)random.Next(256);
                return bytes;
            case 2:
                return [.. bytes, .. bytes];
            default:
                for (int i = 0; i < 8; i++)
                    bytes[random.Next(Math.Min(5, bytes.Length - 1), bytes.Length)] = (byte)random.Next(256);
                return bytes;
        }
    }
}
