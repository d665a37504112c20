using Drover.Client;
using Drover.Protocol.Gateway.V1;
using Drover.Testing;
using Grpc.Core;

namespace Drover.Gateway.Tests;

/// <summary>Watching by the client library, and with it by the command line, while connections break.</summary>
public sealed class EventWatchTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_gateway_that_restarts_costs_a_watch_no_event_and_repeats_none()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync();
        string name = (await gateway.CreateAsync(gateway.TwoSteps())).Job.Name;
        using DroverClient client = Client(gateway.Address);
        var seen = new List<PipelineEvent>();
        await foreach (PipelineEvent update in client.WatchPipelineAsync(name, cancellation: Cancellation))
        {
            seen.Add(update);
            if (update.Event.Log?.Message.StartsWith("expands", StringComparison.Ordinal) != true)
                continue;
            await gateway.StopGatewayAsync();
            await gateway.StartGatewayAsync();
            gateway.Script.Gate.Release(100);
        }

        Assert.Equal((await gateway.WatchAsync(name)).Select(e => e.Revision), seen.Select(e => e.Revision));
    }

    [Fact]
    public async Task A_gateway_that_stays_away_ends_a_watch()
    {
        using DroverClient client = Client($"http://127.0.0.1:{LoopbackPort.Free()}", TimeSpan.FromSeconds(1));
        RpcException e = await Assert.ThrowsAsync<RpcException>(async () => await client.WatchPipelineAsync("jobs/pipeline-1", cancellation: Cancellation).FirstOrDefaultAsync(Cancellation));
        Assert.Equal(StatusCode.Unavailable, e.StatusCode);
    }

    [Fact]
    public async Task What_the_gateway_answers_is_not_asked_again()
    {
        await using GatewayFixture gateway = await GatewayFixture.StartAsync("http", withTokenizer: false, "--Security:Authentication=keys");
        using var stranger = new DroverClient(gateway.Address, "drover_0123456789abcdef_0123") { WatchPatience = Timeout.InfiniteTimeSpan };
        Assert.Equal(StatusCode.Unauthenticated, await RefusalOfAsync(stranger));
        using var client = new DroverClient(gateway.Address, File.ReadAllText(gateway.Folder["access/admin.key"]).Trim()) { WatchPatience = Timeout.InfiniteTimeSpan };
        Assert.Equal(StatusCode.NotFound, await RefusalOfAsync(client));
    }

    [Fact]
    public async Task Pauses_double_up_to_four_seconds_until_patience_ends_and_begin_anew_after_an_event()
    {
        var time = new PassingTime();
        int opened = 0;
        // The fourth time it opens, one event comes before it breaks.
        async IAsyncEnumerable<long> Open(long from)
        {
            opened++;
            await Task.CompletedTask;
            if (opened == 4)
                yield return from + 1;
            throw new RpcException(new Grpc.Core.Status(StatusCode.Unavailable, "away"));
        }

        var seen = new List<long>();
        await Assert.ThrowsAsync<RpcException>(async () =>
        {
            await foreach (long revision in EventWatch.FollowAsync(Open, r => r, 7, TimeSpan.FromSeconds(20), time, Cancellation))
                seen.Add(revision);
        });
        Assert.Equal([8], seen);
        double[] rising = [0.25, 0.5, 1, 2, 4, 4, 4, 4, 4];
        Assert.Equal([0.25, 0.5, 1, .. rising], time.Waited.Select(w => w.TotalSeconds));
    }

    private static async Task<StatusCode> RefusalOfAsync(DroverClient client) =>
        (await Assert.ThrowsAsync<RpcException>(async () => await client.WatchPipelineAsync("jobs/pipeline-none", cancellation: Cancellation).FirstOrDefaultAsync(Cancellation))).StatusCode;

    private static DroverClient Client(string address, TimeSpan? patience = null) => new(address) { WatchPatience = patience ?? EventWatch.DefaultPatience };

    /// <summary>Time that passes only while somebody waits for it, and then at once.</summary>
    private sealed class PassingTime : TimeProvider
    {
        private long _now;

        public List<TimeSpan> Waited { get; } = [];

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => _now;

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            Waited.Add(dueTime);
            _now += dueTime.Ticks;
            return base.CreateTimer(callback, state, TimeSpan.Zero, period);
        }
    }
}
