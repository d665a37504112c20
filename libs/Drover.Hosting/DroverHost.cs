using System.Net;
using System.Text.Json;
using Drover.Discovery;
using Drover.Errors;
using Drover.Hosting.Security;
using Drover.ObjectStore;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Logging;

namespace Drover.Hosting;

/// <summary>
/// What all services share: configuration (defaults, then <c>--config file.json</c>, then DROVER_* variables, then
/// <c>--Section:Key=value</c>), its own address from the table of services, gRPC with errors as part of the interface,
/// health, reflection, the object store, the directory of services, and the clock.
/// </summary>
public static class DroverHost
{
    /// <summary>Largest gRPC message taken, bytes.</summary>
    public const int MaxMessageBytes = 16 << 20;

    /// <summary>Starts the description of a service.</summary>
    /// <param name="service">One of <see cref="ServiceNames"/>.</param>
    /// <param name="args">Command-line arguments.</param>
    public static WebApplicationBuilder CreateBuilder(string service, string[] args)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions { ApplicationName = $"drover-{service}" });
        AddConfiguration(builder.Configuration, service, args);
        AddLog(builder);
        builder.Logging.AddFilter("Microsoft", LogLevel.Warning);
        builder.Logging.AddFilter("Grpc", LogLevel.Warning);
        // What ends a program is told once, in words (ServiceRunner), not as a stack trace too.
        builder.Logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.Critical);

        var directory = new StaticServiceDirectory(builder.Configuration);
        var own = new OwnService(service, directory.Find(service));
        Certificates certificates = builder.AddSecurity(own);
        builder.WebHost.UseKestrelHttpsConfiguration();
        builder.WebHost.ConfigureKestrel(kestrel => Listen(kestrel, own.Address, HttpProtocols.Http2, certificates));
        builder.AddTelemetry(service);
        builder.Services.AddDiscovery(builder.Configuration, own, directory);
        builder.Services.AddSingleton(TimeProvider.System);
        builder.Services.Configure<DroverOptions>(builder.Configuration.GetSection("Drover"));
        AddObjectStore(builder);
        builder.Services.AddGrpc(o =>
        {
            o.MaxReceiveMessageSize = MaxMessageBytes;
            o.Interceptors.Add<FailureInterceptor>();
        });
        builder.Services.AddGrpcReflection();
        builder.Services.AddGrpcHealthChecks().AddCheck("serving", () => HealthCheckResult.Healthy());
        return builder;
    }

    /// <summary>Asks callers for their keys, and maps health and reflection.</summary>
    public static WebApplication MapDroverDefaults(this WebApplication app)
    {
        app.UseMiddleware<AccessMiddleware>();
        app.UseMiddleware<UnreadableRequests>();
        app.MapGrpcHealthChecksService();
        app.MapGrpcReflectionService();
        return app;
    }

    /// <summary>
    /// Listens at an address: a literal IP address, "localhost" (loopback), or any other name (all interfaces). An https address asks
    /// callers for a certificate; one that the authority did not sign ends the handshake, none is as good as a key that comes later.
    /// </summary>
    public static void Listen(KestrelServerOptions kestrel, Uri address, HttpProtocols protocols, Certificates certificates)
    {
        void Configure(ListenOptions options)
        {
            options.Protocols = protocols;
            if (address.Scheme != Uri.UriSchemeHttps)
                return;
            options.UseHttps(certificates.Own!, https =>
            {
                https.ClientCertificateMode = ClientCertificateMode.AllowCertificate;
                https.ClientCertificateValidation = (certificate, _, _) => certificates.IsOfAuthority(certificate);
            });
        }

        if (IPAddress.TryParse(address.Host, out IPAddress? ip))
            kestrel.Listen(ip, address.Port, Configure);
        else if (address.Host == "localhost")
            kestrel.ListenLocalhost(address.Port, Configure);
        else
            kestrel.ListenAnyIP(address.Port, Configure);
    }

    /// <summary>A folder of this machine: "work", "jobs", "access" or "objects" under the data folder.</summary>
    public static string DataFolder(IConfiguration configuration, string part) =>
        Path.GetFullPath(Path.Combine(configuration["Drover:DataFolder"] ?? new DroverOptions().DataFolder, part));

    private static void AddLog(WebApplicationBuilder builder)
    {
        switch (builder.Configuration["Telemetry:LogFormat"] ?? TelemetryOptions.Text)
        {
            case TelemetryOptions.Text:
                builder.Logging.AddSimpleConsole(o =>
                {
                    o.SingleLine = true;
                    o.TimestampFormat = "HH:mm:ss ";
                });
                break;
            case TelemetryOptions.Json:
                builder.Logging.AddJsonConsole(o =>
                {
                    o.IncludeScopes = true;
                    o.UseUtcTimestamp = true;
                    o.TimestampFormat = "yyyy-MM-dd'T'HH:mm:ss.fff'Z'";
                });
                break;
            case var other:
                throw new DroverException(FailureCode.InvalidArgument, "INVALID_CONFIGURATION", $"Telemetry:LogFormat is '{other}'; write {TelemetryOptions.Text} or {TelemetryOptions.Json}.");
        }
    }

    private static void AddConfiguration(ConfigurationManager configuration, string service, string[] args)
    {
        configuration.Sources.Clear();
        configuration.AddEnvironmentVariables("DROVER_");
        configuration.AddCommandLine(args);
        if (configuration["config"] is { } file)
        {
            CheckConfigFile(file);
            configuration.Sources.Clear();
            configuration.AddJsonFile(Path.GetFullPath(file), optional: false, reloadOnChange: false);
            configuration.AddEnvironmentVariables("DROVER_");
            configuration.AddCommandLine(args);
        }

        ConfigurationKeys.Check(configuration);
        if (string.IsNullOrEmpty(configuration["Jobs:DatabasePath"]))
            configuration["Jobs:DatabasePath"] = Path.Combine(DataFolder(configuration, "jobs"), service + ".db");
    }

    private static void CheckConfigFile(string file)
    {
        if (!File.Exists(file))
            throw new DroverException(FailureCode.NotFound, "CONFIG_NOT_FOUND", $"There is no configuration file '{file}' (--config).");
        try
        {
            using var _ = JsonDocument.Parse(File.ReadAllBytes(file), new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true });
        }
        catch (JsonException e)
        {
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_CONFIG", $"'{file}' is not JSON: {e.Message}", e);
        }
    }

    private static void AddObjectStore(WebApplicationBuilder builder)
    {
        ObjectStoreOptions options = builder.Configuration.GetSection("ObjectStore").Get<ObjectStoreOptions>() ?? new ObjectStoreOptions();
        if (options.Folder.Length == 0 && options.S3Endpoint.Length == 0)
            options = options with { Folder = DataFolder(builder.Configuration, "objects") };
        ObjectStores.Check(options);
        builder.Services.AddSingleton(options);
        builder.Services.TryAddSingleton(p => ObjectStores.Open(p.GetRequiredService<ObjectStoreOptions>()));
    }
}
