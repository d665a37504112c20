using Drover.Discovery;
using Drover.Hosting;
using Drover.Jobs;

namespace Drover.Tokenizer;

/// <summary>The tokenizer service.</summary>
public static class TokenizerModule
{
    /// <summary>Builds the service; arguments as <see cref="DroverHost.CreateBuilder"/> takes them.</summary>
    public static WebApplication Build(string[] args)
    {
        WebApplicationBuilder builder = DroverHost.CreateBuilder(ServiceNames.Tokenizer, args);
        builder.Services.AddSingleton<TokenizerCatalog>();
        builder.Services.AddSingleton<ChatRenderer>();
        builder.Services.AddSingleton<SpecChecks>();
        builder.Services.AddJobs(builder.Configuration);
        builder.Services.AddJobExecutor<TokenizerTrainingExecutor>();
        builder.Services.AddJobExecutor<ExpansionExecutor>();
        WebApplication app = builder.Build();
        app.MapGrpcService<TokenizerGrpcService>();
        return app.MapDroverDefaults();
    }
}
