using Drover.Discovery.Consul;
using Drover.Errors;
using Grpc.Net.Client.Balancer;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;

namespace Drover.Discovery;

/// <summary>Adds what finds services to a service.</summary>
public static class DiscoveryRegistration
{
    /// <summary>Adds the table of addresses, or Consul where section "Discovery" names an agent.</summary>
    /// <param name="services">The container.</param>
    /// <param name="configuration">The configuration.</param>
    /// <param name="own">The service that this host is.</param>
    /// <param name="table">The table.</param>
    /// <exception cref="DroverException">InvalidArgument.</exception>
    public static IServiceCollection AddDiscovery(this IServiceCollection services, IConfiguration configuration, OwnService own, StaticServiceDirectory table)
    {
        DiscoveryOptions options = configuration.GetSection("Discovery").Get<DiscoveryOptions>() ?? new DiscoveryOptions();
        services.AddSingleton(own);
        if (options.ConsulAddress.Length == 0)
            return services.AddSingleton<IServiceDirectory>(table);
        if (options.DeregisterSeconds is < 60 or > 86400)
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_DISCOVERY", "Discovery:DeregisterSeconds must be 60 to 86400: Consul takes no less than a minute.");
        services.AddSingleton(options);
        services.AddSingleton(new ConsulClient(options));
        services.AddSingleton<ResolverFactory, ConsulResolverFactory>();
        services.AddSingleton<IServiceDirectory, ConsulDirectory>();
        services.AddHostedService<ConsulEntry>();
        return services;
    }
}
