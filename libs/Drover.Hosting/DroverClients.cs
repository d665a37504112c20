using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using Drover.Discovery;
using Drover.Hosting.Security;
using Drover.Protocol;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Grpc.Net.Client;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;

namespace Drover.Hosting;

/// <summary>Adds clients of other services.</summary>
public static class DroverClients
{
    /// <summary>
    /// Adds a generated client whose address comes from the directory. Its channel is made once and reused; calls show this service's
    /// certificate, or without TLS the services' key.
    /// </summary>
    /// <typeparam name="TClient">E.g. <c>TrainerService.TrainerServiceClient</c>.</typeparam>
    /// <param name="services">The container.</param>
    /// <param name="service">One of <see cref="ServiceNames"/>.</param>
    public static IServiceCollection AddDroverClient<TClient>(this IServiceCollection services, string service)
        where TClient : ClientBase<TClient>
    {
        services.AddDroverChannel(service);
        services.AddSingleton(p => (TClient)Activator.CreateInstance(typeof(TClient), p.GetRequiredKeyedService<CallInvoker>(service))!);
        return services;
    }

    /// <summary>Adds the channel to a service and what calls through it, both by the service's name.</summary>
    public static IServiceCollection AddDroverChannel(this IServiceCollection services, string service)
    {
        services.TryAddKeyedSingleton(service, (p, _) => Connect(p, service));
        services.TryAddKeyedSingleton(service, (p, _) => Invoker(p, service));
        return services;
    }

    private static CallInvoker Invoker(IServiceProvider provider, string service)
    {
        CallInvoker invoker = provider.GetRequiredKeyedService<GrpcChannel>(service).CreateCallInvoker();
        string key = provider.GetRequiredService<ServiceKey>().Text;
        return key.Length == 0 ? invoker : invoker.Intercept(headers => CallHeaders.WithKey(headers, key));
    }

    private static GrpcChannel Connect(IServiceProvider provider, string service)
    {
        Certificates certificates = provider.GetRequiredService<Certificates>();
        var handler = new SocketsHttpHandler { EnableMultipleHttp2Connections = true };
        if (certificates.HasAuthority)
        {
            handler.SslOptions = new SslClientAuthenticationOptions
            {
                ClientCertificates = certificates.Own is { } own ? [own] : [],
                RemoteCertificateValidationCallback = (_, certificate, _, errors) =>
                    certificate is X509Certificate2 shown && !errors.HasFlag(SslPolicyErrors.RemoteCertificateNameMismatch) && certificates.IsOfAuthority(shown),
            };
        }

        Uri address = provider.GetRequiredService<IServiceDirectory>().Find(service);
        var options = new GrpcChannelOptions { HttpHandler = handler, DisposeHttpClient = true, MaxReceiveMessageSize = DroverHost.MaxMessageBytes, MaxSendMessageSize = DroverHost.MaxMessageBytes };
        if (address.Scheme is not ("http" or "https"))
        {
            // A name that a resolver of the container looks up. Over TLS, certificates are held against that name: "trainer".
            options.ServiceProvider = provider;
            options.Credentials = certificates.Own is null ? ChannelCredentials.Insecure : ChannelCredentials.SecureSsl;
        }

        return GrpcChannel.ForAddress(address, options);
    }
}
