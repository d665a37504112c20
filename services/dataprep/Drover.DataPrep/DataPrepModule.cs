using Drover.DataPrep.Building;
using Drover.DataPrep.Workers;
using Drover.Discovery;
using Drover.Hosting;
using Drover.Jobs;
using Drover.ObjectStore;
using Drover.Protocol.DataPrep.V1;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.Extensions.Options;

namespace Drover.DataPrep;

/// <summary>The dataset service.</summary>
public static class DataPrepModule
{
    /// <summary>Builds the service, or, with <c>--DataPrep:Role=worker</c>, workers for a service elsewhere.</summary>
    public static WebApplication Build(string[] args) => Build(args, null);

    internal static WebApplication Build(string[] args, Func<IServiceProvider, TokenizerCache>? tokenizers)
    {
        WebApplicationBuilder builder = DroverHost.CreateBuilder(ServiceNames.DataPrep, args);
        DataPrepOptions options = builder.Configuration.GetSection("DataPrep").Get<DataPrepOptions>() ?? new DataPrepOptions();
        builder.Services.AddOptions<DataPrepOptions>()
            .Bind(builder.Configuration.GetSection("DataPrep"))
            .Validate(o => o.Role is "service" or "worker", "DataPrep:Role must be 'service' or 'worker'.")
            .Validate(o => o.Workers is >= -1 and <= 4096, "DataPrep:Workers must be 0 to 4096, or -1 for one a core.")
            .Validate(o => o.LeaseSeconds is >= 1 and <= 86400, "DataPrep:LeaseSeconds must be 1 to 86400.")
            .ValidateOnStart();

        string work = Path.Combine(DroverHost.DataFolder(builder.Configuration, "work"), "dataprep");
        builder.Services.AddSingleton(p => tokenizers?.Invoke(p) ?? new TokenizerCache(p.GetRequiredService<IObjectStore>()));
        builder.Services.AddSingleton(new DataPrepFolders(work, Path.Combine(work, "rows")));
        builder.Services.AddSingleton(p => new BuildTask(p.GetRequiredService<IObjectStore>(), p.GetRequiredService<TokenizerCache>(), work));
        builder.Services.AddDroverClient<DataPrepWorkerService.DataPrepWorkerServiceClient>(ServiceNames.DataPrep);
        if (options.IsWorker)
        {
            builder.Services.AddSingleton<IServer, SilentServer>();
            builder.Services.AddHostedService<WorkerPool>();
            return builder.Build();
        }

        builder.Services.AddJobs(builder.Configuration);
        builder.Services.AddJobExecutor<DatasetBuildExecutor>();
        builder.Services.AddSingleton(p => new BuildCoordinator(
            p.GetRequiredService<IObjectStore>(), p.GetRequiredService<TimeProvider>(), TimeSpan.FromSeconds(p.GetRequiredService<IOptions<DataPrepOptions>>().Value.LeaseSeconds)));
        builder.Services.AddHostedService<WorkerPool>();
        WebApplication app = builder.Build();
        app.MapGrpcService<DataPrepGrpcService>();
        app.MapGrpcService<DataPrepWorkerGrpcService>();
        app.MapDroverDefaults();
        return app;
    }
}
