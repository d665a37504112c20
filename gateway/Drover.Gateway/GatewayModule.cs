using Drover.Discovery;
using Drover.Gateway.Access;
using Drover.Gateway.Dashboard;
using Drover.Gateway.Forwarding;
using Drover.Gateway.Inputs;
using Drover.Gateway.Json;
using Drover.Gateway.Metrics;
using Drover.Gateway.Pipelines;
using Drover.Gateway.Status;
using Drover.Hosting;
using Drover.Hosting.Security;
using Drover.Jobs;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.DataPrep.V1;
using Drover.Protocol.Gateway.V1;
using Drover.Protocol.Tokenizer.V1;
using Drover.Protocol.Trainer.V1;
using Google.Protobuf.Reflection;
using Google.Rpc;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Options;

namespace Drover.Gateway;

/// <summary>The gateway: one API over the services, pipelines, uploads.</summary>
public static class GatewayModule
{
    /// <summary>Builds the gateway's host.</summary>
    /// <param name="args">Command-line arguments, see <see cref="DroverHost"/>.</param>
    public static WebApplication Build(string[] args)
    {
        WebApplicationBuilder builder = DroverHost.CreateBuilder(ServiceNames.Gateway, args);
        // A pipeline only waits for others: many may run at a time.
        if (string.IsNullOrEmpty(builder.Configuration["Jobs:Slots"]))
            builder.Configuration["Jobs:Slots"] = "64";
        AddOptions(builder);
        // The details that Drover's errors carry, so that they can be written as JSON.
        builder.Services.AddGrpc().AddJsonTranscoding(o => o.TypeRegistry = TypeRegistry.FromFiles(ErrorDetailsReflection.Descriptor));
        builder.Services.AddJobs(builder.Configuration);
        AddClients(builder.Services);
        builder.Services.AddPipelines();
        builder.Services.AddSingleton<InputStore>();
        builder.Services.AddSingleton<ServiceHealth>();
        builder.Services.AddHostedService<FirstKey>();
        builder.Services.AddSingleton<JsonRpc>();
        builder.Services.AddSingleton<MetricsPage>();

        WebApplication app = builder.Build();
        app.MapGrpcService<GatewayEndpoint>();
        app.MapGrpcService<AccessEndpoint>();
        app.MapGrpcService<TokenizerForwarder>();
        app.MapGrpcService<DataPrepForwarder>();
        app.MapGrpcService<TrainerForwarder>();
        app.MapGrpcService<CheckpointForwarder>();
        app.MapJsonApi();
        app.MapDashboard();
        MetricsPage.Map(app);
        return app.MapDroverDefaults();
    }

    private static void AddOptions(WebApplicationBuilder builder)
    {
        builder.Services.AddOptions<GatewayOptions>()
            .Bind(builder.Configuration.GetSection("Gateway"))
            .Validate(o => o.HttpAddress.Length == 0 || IsHttp(o.HttpAddress), "Gateway:HttpAddress must be empty or an address such as http://127.0.0.1:7580.")
            .Validate(o => o.RetryDelay > TimeSpan.Zero && o.RetryDelayMax >= o.RetryDelay, "Gateway:RetryDelay must be above zero and at most Gateway:RetryDelayMax.")
            .ValidateOnStart();
        builder.Services.AddSingleton(p => p.GetRequiredService<IOptions<GatewayOptions>>().Value);
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            string address = kestrel.ApplicationServices.GetRequiredService<GatewayOptions>().HttpAddress;
            if (address.Length > 0)
                DroverHost.Listen(kestrel, new Uri(address), HttpProtocols.Http1, kestrel.ApplicationServices.GetRequiredService<Certificates>());
        });
    }

    // Its own channel too: JSON calls of the gateway's RPCs go the way of all others.
    private static void AddClients(IServiceCollection services) => services
        .AddDroverClient<GatewayService.GatewayServiceClient>(ServiceNames.Gateway)
        .AddDroverClient<TokenizerService.TokenizerServiceClient>(ServiceNames.Tokenizer)
        .AddDroverClient<DataPrepService.DataPrepServiceClient>(ServiceNames.DataPrep)
        .AddDroverClient<TrainerService.TrainerServiceClient>(ServiceNames.Trainer)
        .AddDroverClient<CheckpointService.CheckpointServiceClient>(ServiceNames.Checkpoint);

    private static bool IsHttp(string text) =>
        Uri.TryCreate(text, UriKind.Absolute, out Uri? address) && address.Scheme is "http" or "https";
}
