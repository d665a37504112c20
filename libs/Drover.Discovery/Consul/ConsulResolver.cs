using Drover.Errors;
using Grpc.Core;
using Grpc.Net.Client.Balancer;

namespace Drover.Discovery.Consul;

/// <summary>Makes resolvers for addresses such as consul:///trainer.</summary>
public sealed class ConsulResolverFactory(ConsulClient consul, TimeProvider time) : ResolverFactory
{
    /// <summary>The scheme of such addresses.</summary>
    public const string SchemeName = "consul";

    /// <inheritdoc />
    public override string Name => SchemeName;

    /// <inheritdoc />
    public override Resolver Create(ResolverOptions options) => new ConsulResolver(consul, options.Address.AbsolutePath.Trim('/'), time);
}

/// <summary>
/// Tells a channel where the instances of a service are, as they come and go: one blocking query of Consul after the other. While Consul
/// is away, what was known stays in use.
/// </summary>
internal sealed class ConsulResolver(ConsulClient consul, string service, TimeProvider time) : Resolver
{
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);
    private readonly CancellationTokenSource _closed = new();
    private bool _knows;

    public override void Start(Action<ResolverResult> listener) => _ = WatchAsync(listener, _closed.Token);

    protected override void Dispose(bool disposing)
    {
        _closed.Cancel();
        base.Dispose(disposing);
    }

    private async Task WatchAsync(Action<ResolverResult> listener, CancellationToken closed)
    {
        for (long index = 0; !closed.IsCancellationRequested;)
        {
            try
            {
                (IReadOnlyList<ConsulInstance> instances, index) = await consul.FindAsync(ConsulEntry.NameOf(service), index, closed).ConfigureAwait(false);
                _knows = instances.Count > 0;
                listener(instances.Count > 0
                    ? ResolverResult.ForResult([.. instances.Select(i => new BalancerAddress(i.Host, i.Port))])
                    : ResolverResult.ForFailure(new Status(StatusCode.Unavailable, $"Consul knows no '{ConsulEntry.NameOf(service)}' that passes its checks.")));
                // Without an index there is nothing to wait on.
                if (index == 0)
                    await Task.Delay(Pause, time, closed).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            catch (Exception) when (closed.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e) when (e is HttpRequestException or OperationCanceledException or DroverException or System.Text.Json.JsonException)
            {
                index = 0;
                if (!_knows)
                    listener(ResolverResult.ForFailure(new Status(StatusCode.Unavailable, $"Consul does not answer: {e.Message}")));
                await Task.Delay(Pause, time, closed).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }
}
