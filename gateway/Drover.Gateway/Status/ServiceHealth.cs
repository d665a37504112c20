using Drover.Discovery;
using Drover.Protocol.Gateway.V1;
using Grpc.Core;
using Grpc.Health.V1;
using Grpc.Net.Client;

namespace Drover.Gateway.Status;

/// <summary>Asks every service for its health.</summary>
internal sealed class ServiceHealth(IServiceDirectory directory, IServiceProvider provider, TimeProvider time)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);
    private static readonly string[] Services = [ServiceNames.Tokenizer, ServiceNames.DataPrep, ServiceNames.Trainer, ServiceNames.Checkpoint];

    /// <summary>The health of each service, all asked at the same time.</summary>
    public Task<ServiceStatus[]> CheckAsync(CancellationToken cancellation) =>
        Task.WhenAll(Services.Select(service => CheckAsync(service, cancellation)));

    private async Task<ServiceStatus> CheckAsync(string service, CancellationToken cancellation)
    {
        var status = new ServiceStatus { Service = service, Address = directory.Find(service).ToString().TrimEnd('/') };
        try
        {
            var client = new Health.HealthClient(provider.GetRequiredKeyedService<GrpcChannel>(service));
            HealthCheckResponse answer = await client.CheckAsync(new HealthCheckRequest(), deadline: time.GetUtcNow().UtcDateTime + Patience, cancellationToken: cancellation).ConfigureAwait(false);
            status.Serving = answer.Status == HealthCheckResponse.Types.ServingStatus.Serving;
            status.Message = status.Serving ? "serving" : answer.Status.ToString();
        }
        catch (RpcException e) when (!cancellation.IsCancellationRequested)
        {
            status.Message = e.StatusCode == StatusCode.Unavailable ? "does not answer" : e.Status.Detail;
        }

        return status;
    }
}
