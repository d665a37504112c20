using System.Diagnostics;
using System.Globalization;
using Drover.Benchmarks.Gateway;
using Drover.Client;
using Drover.Protocol.Gateway.V1;

// Many clients of one gateway at the same time: each submits a small pipeline, watches it to its end, pulls a model, looks at the list,
// waits a moment, and begins again. benchmarks/gateway-load.sh starts the services and this.
if (args is not [string clientsText, string secondsText, string corpus, string model, string gatewayProcess])
{
    await Console.Error.WriteLineAsync("usage: CLIENTS SECONDS CORPUS.jsonl MODEL GATEWAY_PID");
    return 2;
}

int clients = int.Parse(clientsText, CultureInfo.InvariantCulture);
TimeSpan length = TimeSpan.FromSeconds(double.Parse(secondsText, CultureInfo.InvariantCulture));
using var admin = DroverClient.FromEnvironment();
string input = await admin.UploadAsync(corpus);
string address = Environment.GetEnvironmentVariable("DROVER_GATEWAY") ?? DroverClient.DefaultGateway;
// A key for each: so is the limit of calls.
string[] keys = new string[clients];
for (int i = 0; i < clients; i++)
    keys[i] = (await admin.Access.CreateKeyAsync(new CreateKeyRequest { Name = $"client-{i}", Scopes = { "read", "pull", "submit" } })).Text;

var latencies = new Latencies();
using var end = new CancellationTokenSource(length);
using Process gateway = Process.GetProcessById(int.Parse(gatewayProcess, CultureInfo.InvariantCulture));
Task<List<long>> memory = MemoryAsync(gateway, TimeSpan.FromTicks(length.Ticks / 10), end.Token);
long begun = Stopwatch.GetTimestamp();
await Task.WhenAll(Enumerable.Range(0, clients).Select(i => new LoadClient(address, keys[i], i, input, model, latencies).RunAsync(end.Token)));
double seconds = Stopwatch.GetElapsedTime(begun).TotalSeconds;
latencies.Write(Console.Out, seconds);
Console.WriteLine($"gateway's resident memory, MB, ten times along the way: {string.Join(" ", (await memory).Select(bytes => (bytes / 1_000_000).ToString(CultureInfo.InvariantCulture)))}");
return latencies.Errors == 0 ? 0 : 1;

static async Task<List<long>> MemoryAsync(Process process, TimeSpan interval, CancellationToken end)
{
    var sizes = new List<long>();
    while (true)
    {
        process.Refresh();
        sizes.Add(process.WorkingSet64);
        try
        {
            await Task.Delay(interval, end);
        }
        catch (OperationCanceledException)
        {
            return sizes;
        }
    }
}
