using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;

namespace Drover.Jobs;

/// <summary>Adds jobs to a service.</summary>
public static class JobsRegistration
{
    /// <summary>Adds <see cref="JobQueue"/> and the runner; section "Jobs" holds <see cref="JobsOptions"/>.</summary>
    public static IServiceCollection AddJobs(this IServiceCollection services, IConfiguration configuration)
    {
        services.AddOptions<JobsOptions>()
            .Bind(configuration.GetSection("Jobs"))
            .Validate(o => o.DatabasePath.Length > 0, "Jobs:DatabasePath is empty.")
            .Validate(o => o.Slots is >= 1 and <= 1000, "Jobs:Slots must be 1 to 1000.")
            .ValidateOnStart();
        services.AddSingleton(p => new JobQueue(p.GetRequiredService<IOptions<JobsOptions>>().Value, p.GetRequiredService<TimeProvider>(), p.GetService<JobCapacity>()));
        services.AddSingleton<IHostedService>(p => ActivatorUtilities.CreateInstance<JobRunner>(p, p.GetRequiredService<IOptions<JobsOptions>>().Value));
        return services;
    }

    /// <summary>Adds what does jobs of one kind.</summary>
    public static IServiceCollection AddJobExecutor<T>(this IServiceCollection services)
        where T : class, IJobExecutor => services.AddSingleton<IJobExecutor, T>();
}
