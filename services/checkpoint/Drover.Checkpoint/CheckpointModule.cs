using Drover.Checkpoint.Checkpoints;
using Drover.Checkpoint.Exports;
using Drover.Checkpoint.Models;
using Drover.Discovery;
using Drover.Hosting;
using Drover.Jobs;

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
        builder.Services.AddSingleton<CheckpointVerifier>();
        builder.Services.AddSingleton<CheckpointPublisher>();
        builder.Services.AddSingleton<CheckpointCatalog>();
        builder.Services.AddSingleton<ModelCatalog>();
        builder.Services.AddSingleton<ModelPull>();
        WebApplication app = builder.Build();
        app.MapDroverDefaults();
        app.MapGrpcService<CheckpointGrpcService>();
        return app;
    }
}
