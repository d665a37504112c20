using Drover.Discovery;
using Drover.Hosting;
using Drover.Jobs;
using Drover.Protocol.Checkpoint.V1;
using Microsoft.Extensions.Options;

namespace Drover.Trainer;

/// <summary>The trainer service.</summary>
public static class TrainerModule
{
    /// <summary>Builds the service; arguments as <see cref="DroverHost.CreateBuilder"/> takes them.</summary>
    public static WebApplication Build(string[] args)
    {
        WebApplicationBuilder builder = DroverHost.CreateBuilder(ServiceNames.Trainer, args);
        builder.Services.AddOptions<TrainerOptions>()
            .Bind(builder.Configuration.GetSection("Trainer"))
            .Validate(o => o.MpirunPath.Length > 0, "Trainer:MpirunPath is empty.")
            .Validate(o => o.HostFile.Length == 0 || File.Exists(o.HostFile), "Trainer:HostFile names no file. Write one machine a line, e.g. 'node1 slots=4', or leave it empty to train on this machine.")
            .Validate(o => o.Cores >= -1, "Trainer:Cores is a number of cores, 0 for those of this machine, or -1.")
            .Validate(o => o.Binding is RankBinding.None or RankBinding.Cores, "Trainer:Binding is 'none' or 'cores'.");
        builder.Services.AddSingleton(p => p.GetRequiredService<IOptions<TrainerOptions>>().Value);
        builder.Services.AddSingleton(new WorkFolder(DroverHost.DataFolder(builder.Configuration, "work/trainer")));
        builder.Services.AddSingleton<AttemptFolders>();
        builder.Services.AddSingleton<WorkerLauncher>();
        builder.Services.AddSingleton<GpuCheck>();
        builder.Services.AddSingleton<TrainingChecks>();
        builder.Services.AddSingleton<JobMetrics>();
        builder.Services.AddSingleton<RunningAttempts>();
        builder.Services.AddSingleton<SpeedPlans>();
        builder.Services.AddSingleton<CheckpointPublisher>();
        builder.Services.AddSingleton<ModelReferences>();
        builder.Services.AddSingleton<TextWork>();
        builder.Services.AddDroverClient<CheckpointService.CheckpointServiceClient>(ServiceNames.Checkpoint);
        builder.Services.AddSingleton(p => TrainingCapacity.Of(p.GetRequiredService<TrainerOptions>()));
        builder.Services.AddJobs(builder.Configuration);
        builder.Services.AddJobExecutor<TrainingExecutor>();
        builder.Services.AddJobExecutor<EvaluationExecutor>();
        WebApplication app = builder.Build();
        app.MapGrpcService<TrainerGrpcService>();
        return app.MapDroverDefaults();
    }
}
