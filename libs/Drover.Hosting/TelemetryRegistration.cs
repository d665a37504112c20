using Drover.Errors;
using Drover.Protocol;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using OpenTelemetry.Exporter;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace Drover.Hosting;

/// <summary>Adds OpenTelemetry to a service where a collector is named; otherwise nothing of it runs.</summary>
internal static class TelemetryRegistration
{
    public static void AddTelemetry(this WebApplicationBuilder builder, string service)
    {
        TelemetryOptions options = builder.Configuration.GetSection("Telemetry").Get<TelemetryOptions>() ?? new TelemetryOptions();
        if (options.OtlpEndpoint.Length == 0)
            return;
        if (!Uri.TryCreate(options.OtlpEndpoint, UriKind.Absolute, out Uri? collector) || collector.Scheme is not ("http" or "https"))
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_CONFIGURATION", $"Telemetry:OtlpEndpoint is '{options.OtlpEndpoint}'; give an address such as http://127.0.0.1:4318, or leave it empty.");
        // What .NET tells of itself: requests that are answered, calls that are made, the runtime.
        builder.Services.AddOpenTelemetry()
            .ConfigureResource(resource => resource.AddService($"drover-{service}", serviceVersion: typeof(TelemetryRegistration).Assembly.GetName().Version?.ToString()))
            .WithTracing(traces => traces
                .AddSource("Microsoft.AspNetCore", "System.Net.Http", JobTracing.SourceName)
                .AddOtlpExporter(exporter => Send(exporter, collector, "v1/traces")))
            .WithMetrics(metrics => metrics
                .AddMeter("Microsoft.AspNetCore.Hosting", "Microsoft.AspNetCore.Server.Kestrel", "System.Net.Http", "System.Runtime")
                .AddOtlpExporter(exporter => Send(exporter, collector, "v1/metrics")));
    }

    private static void Send(OtlpExporterOptions exporter, Uri collector, string what)
    {
        exporter.Protocol = OtlpExportProtocol.HttpProtobuf;
        exporter.Endpoint = new Uri($"{collector.ToString().TrimEnd('/')}/{what}");
    }
}
