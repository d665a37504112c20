using System.Threading.RateLimiting;
using Drover.Errors;

namespace Drover.Hosting.Security;

/// <summary>How often a key may call, and how often an address may ask for keys that must be looked up.</summary>
public sealed class CallLimits(SecurityOptions options) : IDisposable
{
    private const int SecondsSaved = 4;
    private const int LookupsPerSecond = 20;
    private readonly PartitionedRateLimiter<string> _calls = Limiter(options.RequestsPerSecond);
    private readonly PartitionedRateLimiter<string> _lookups = Limiter(LookupsPerSecond);

    /// <summary>Counts a call of a key. Services are not counted: what users set off is counted where they call.</summary>
    /// <exception cref="DroverException">ResourceExhausted.</exception>
    public void TakeCall(Caller caller)
    {
        if (caller.Scopes.HasFlag(Scopes.Service))
            return;
        using RateLimitLease lease = _calls.AttemptAcquire(caller.Id);
        if (!lease.IsAcquired)
            throw new DroverException(FailureCode.ResourceExhausted, "TOO_MANY_CALLS", $"The key '{caller.Name}' began more than {options.RequestsPerSecond} calls a second (Security:RequestsPerSecond). Call again in a second.");
    }

    /// <summary>Counts a key that an address asks for.</summary>
    /// <exception cref="DroverException">ResourceExhausted.</exception>
    public void TakeLookup(string address)
    {
        using RateLimitLease lease = _lookups.AttemptAcquire(address);
        if (!lease.IsAcquired)
            throw new DroverException(FailureCode.ResourceExhausted, "TOO_MANY_KEYS", "Too many keys were tried from this address. Try again in a second.");
    }

    /// <inheritdoc />
    public void Dispose()
    {
        _calls.Dispose();
        _lookups.Dispose();
    }

    private static PartitionedRateLimiter<string> Limiter(int perSecond) => PartitionedRateLimiter.Create<string, string>(name =>
        RateLimitPartition.GetTokenBucketLimiter(name, _ => new TokenBucketRateLimiterOptions
        {
            TokenLimit = perSecond * SecondsSaved,
            TokensPerPeriod = Math.Max(1, perSecond / 10),
            ReplenishmentPeriod = TimeSpan.FromSeconds(perSecond < 10 ? 1.0 / perSecond : 0.1),
            QueueLimit = 0,
            AutoReplenishment = true,
        }));
}
