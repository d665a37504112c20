using Drover.Gateway.Pipelines.Steps;
using Drover.Jobs;

namespace Drover.Gateway.Pipelines;

/// <summary>Adds pipelines to the gateway.</summary>
internal static class PipelinesRegistration
{
    public static IServiceCollection AddPipelines(this IServiceCollection services)
    {
        services.AddSingleton(p => new PipelineStore(p.GetRequiredService<Microsoft.Extensions.Options.IOptions<JobsOptions>>().Value.DatabasePath + "-pipelines"));
        services.AddSingleton<PipelineHistory>();
        services.AddSingleton<PipelineCatalog>();
        services.AddSingleton<StepRunner>();
        services.AddSingleton<FinishedSteps>();
        services.AddSingleton<ServiceRetry>();
        services.AddSingleton<IStepWork, TokenizerTrainingStep>();
        services.AddSingleton<IStepWork, ExpansionStep>();
        services.AddSingleton<IStepWork, DatasetStep>();
        services.AddSingleton<IStepWork, TrainingStep>();
        services.AddSingleton<IStepWork, EvaluationStep>();
        services.AddSingleton<IStepWork, ExportStep>();
        services.AddJobExecutor<PipelineExecutor>();
        services.AddHostedService<OrphanedSteps>();
        return services;
    }
}
