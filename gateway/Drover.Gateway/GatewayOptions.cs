namespace Drover.Gateway;

/// <summary>Options of the gateway. Configuration section "Gateway".</summary>
public sealed record GatewayOptions
{
    /// <summary>Where the JSON form of the API listens (HTTP/1.1), default http://127.0.0.1:7580; empty: nowhere.</summary>
    public string HttpAddress { get; set; } = "http://127.0.0.1:7580";

    /// <summary>The first wait before a service that does not answer is called again; doubled up to <see cref="RetryDelayMax"/>.</summary>
    public TimeSpan RetryDelay { get; set; } = TimeSpan.FromMilliseconds(250);

    /// <summary>The longest wait between two calls of a service that does not answer.</summary>
    public TimeSpan RetryDelayMax { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a pipeline waits for a service that does not answer before it fails, default 10 minutes.</summary>
    public TimeSpan Patience { get; set; } = TimeSpan.FromMinutes(10);
}
