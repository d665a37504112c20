using Drover.Checkpoint.Checkpoints;
using Drover.Checkpoint.Exports;
using Drover.Checkpoint.Hub;
using Drover.Checkpoint.Imports;
using Drover.Checkpoint.Models;
using Drover.Discovery;
using Drover.Hosting;
using Drover.Hosting.Security;
using Drover.Jobs;
using Drover.ObjectStore;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Options;

namespace Drover.Checkpoint;

/// <summary>The checkpoint service: verifies and publishes checkpoints, exports them, serves models.</summary>
public static class CheckpointModule
{
    /// <summary>Builds the service; its address and everything else come from configuration.</summary>
    public static WebApplication Build(string[] args)
    {
        WebApplicationBuilder builder = DroverHost.CreateBuilder(ServiceNames.Checkpoint, args);
        builder.Services.AddJobs(builder.Configuration);
        builder.Services.AddJobExecutor<ExportExecutor>();
        builder.Services.AddJobExecutor<ImportExecutor>();
        builder.Services.AddSingleton<ImportRules>();
        builder.Services.AddSingleton<CheckpointVerifier>();
        builder.Services.AddSingleton<CheckpointPublisher>();
        builder.Services.AddSingleton<CheckpointCatalog>();
        builder.Services.AddSingleton<ModelCatalog>();
        builder.Services.AddSingleton<ModelPull>();
        builder.Services.AddSingleton<RunKeeper>();
        builder.Services.AddSingleton<RunCatalog>();
        builder.Services.AddSingleton<CheckpointDiff>();
        builder.Services.AddSingleton<CheckpointTokenizers>();
        builder.Services.AddSingleton<Lineage>();
        AddHub(builder);
        WebApplication app = builder.Build();
        app.MapDroverDefaults();
        app.MapGrpcService<CheckpointGrpcService>();
        app.Services.GetRequiredService<HubEndpoints>().Map(app);
        return app;
    }

    private static void AddHub(WebApplicationBuilder builder)
    {
        builder.Services.AddOptions<CheckpointOptions>()
            .Bind(builder.Configuration.GetSection("Checkpoint"))
            .Validate(o => o.HubAddress.Length == 0 || (Uri.TryCreate(o.HubAddress, UriKind.Absolute, out Uri? address) && address.Scheme is "http"), "Checkpoint:HubAddress must be empty or an address such as http://127.0.0.1:7581.")
            .Validate(o => o.Addresses.All(a => Uri.TryCreate(a, UriKind.Absolute, out Uri? address) && address.Scheme is "http" or "https" or "s3"), "Checkpoint:ImportAddresses must be addresses such as https://huggingface.co or s3://bucket, with commas between them.")
            .Validate<ObjectStoreOptions>((o, store) => store.S3Endpoint.Length > 0 || !o.Addresses.Any(a => a.StartsWith(BucketSource.Scheme, StringComparison.OrdinalIgnoreCase)), "Checkpoint:ImportAddresses names a bucket (s3://): it is read with the address and keys of ObjectStore:S3Endpoint, which is empty.")
            .Validate(o => o.ImportTokenFile.Length == 0 || File.Exists(o.ImportTokenFile), "Checkpoint:ImportTokenFile is not there.")
            .ValidateOnStart();
        builder.Services.AddSingleton(p => p.GetRequiredService<IOptions<CheckpointOptions>>().Value);
        builder.Services.AddSingleton<HubRevisions>();
        builder.Services.AddSingleton<HubEndpoints>();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            string address = kestrel.ApplicationServices.GetRequiredService<CheckpointOptions>().HubAddress;
            if (address.Length > 0)
                DroverHost.Listen(kestrel, new Uri(address), HttpProtocols.Http1, kestrel.ApplicationServices.GetRequiredService<Certificates>());
        });
    }
}
