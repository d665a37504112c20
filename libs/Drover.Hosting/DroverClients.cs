using Drover.Discovery;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.Extensions.DependencyInjection;

namespace Drover.Hosting;

/// <summary>Adds clients of other services.</summary>
public static class DroverClients
{
    /// <summary>Adds a generated client whose address comes from the directory. Its channel is made once and reused.</summary>
    /// <typeparam name="TClient">E.g. <c>TrainerService.TrainerServiceClient</c>.</typeparam>
    /// <param name="services">The container.</param>
    /// <param name="service">One of <see cref="ServiceNames"/>.</param>
    public static IServiceCollection AddDroverClient<TClient>(this IServiceCollection services, string service)
        where TClient : ClientBase<TClient>
    {
        services.AddKeyedSingleton(service, (p, _) => GrpcChannel.ForAddress(
            p.GetRequiredService<IServiceDirectory>().Find(service),
            new GrpcChannelOptions { MaxReceiveMessageSize = DroverHost.MaxMessageBytes, MaxSendMessageSize = DroverHost.MaxMessageBytes }));
        services.AddSingleton(p => (TClient)Activator.CreateInstance(typeof(TClient), (ChannelBase)p.GetRequiredKeyedService<GrpcChannel>(service))!);
        return services;
    }
}
