namespace Drover.Hosting;

/// <summary>Traces and metrics by OpenTelemetry. Configuration section "Telemetry".</summary>
public sealed record TelemetryOptions
{
    /// <summary>
    /// Address of a collector that takes OTLP over HTTP, e.g. http://127.0.0.1:4318: traces of all services, one for each pipeline, and metrics
    /// go there. Empty: nowhere.
    /// </summary>
    public string OtlpEndpoint { get; set; } = "";
}
