namespace Drover.Hosting;

/// <summary>Traces and metrics by OpenTelemetry, and the form of the log. Configuration section "Telemetry".</summary>
public sealed record TelemetryOptions
{
    /// <summary>The log for people.</summary>
    public const string Text = "text";

    /// <summary>The log for programs.</summary>
    public const string Json = "json";

    /// <summary>
    /// Address of a collector that takes OTLP over HTTP, e.g. http://127.0.0.1:4318: traces of all services, one for each pipeline, and metrics
    /// go there. Empty: nowhere.
    /// </summary>
    public string OtlpEndpoint { get; set; } = "";

    /// <summary>
    /// Lines of the log: "text", or "json" for a collector of logs: an object a line, with job, attempt, owner, pipeline and step in its scopes, and
    /// rank and training step of what ranks print.
    /// </summary>
    public string LogFormat { get; set; } = Text;
}
