using Drover.Discovery;
using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.Hosting;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.Common.V1;
using Grpc.Core;

namespace Drover.Trainer;

/// <summary>The trainer's side of the checkpoint service.</summary>
internal sealed class CheckpointPublisher(CheckpointService.CheckpointServiceClient client, TimeProvider time)
{
    private static readonly TimeSpan[] Pauses = [TimeSpan.FromSeconds(0.5), TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(4), TimeSpan.FromSeconds(8)];

    /// <summary>Has a written checkpoint verified and published.</summary>
    public Task PublishAsync(string checkpoint, CancellationToken cancellation) =>
        CallAsync(async () => await client.PublishCheckpointAsync(new PublishCheckpointRequest { Checkpoint = checkpoint }, cancellationToken: cancellation).ConfigureAwait(false), cancellation);

    /// <summary>Says which checkpoints of a run are to stay.</summary>
    public Task SetRetentionAsync(string run, RetentionSpec retention, CancellationToken cancellation) =>
        CallAsync(async () => await client.SetRetentionAsync(new SetRetentionRequest { Run = run, Retention = retention }, cancellationToken: cancellation).ConfigureAwait(false), cancellation);

    /// <summary>The newest checkpoint of a run that looks whole, or null.</summary>
    public Task<Checkpoint?> FindLatestAsync(string run, CancellationToken cancellation) =>
        FindAsync(async () => (await client.GetLatestCheckpointAsync(new GetLatestCheckpointRequest { Run = run }, cancellationToken: cancellation).ConfigureAwait(false)).Checkpoint, cancellation);

    /// <summary>The newest checkpoint of a run of which every byte is as it was written, and the newer ones that are damaged; null where there is none.</summary>
    /// <exception cref="DroverException">DataLoss where all are damaged.</exception>
    public Task<GetLatestCheckpointResponse?> FindVerifiedAsync(string run, CancellationToken cancellation) =>
        FindAsync(async () => await client.GetLatestCheckpointAsync(new GetLatestCheckpointRequest { Run = run, Verify = true }, cancellationToken: cancellation).ConfigureAwait(false), cancellation);

    /// <summary>The checkpoint of a run with the best loss on its held-out data, or null.</summary>
    public Task<Checkpoint?> FindBestAsync(string run, CancellationToken cancellation) =>
        FindAsync(async () => (await client.GetCheckpointAsync(new GetCheckpointRequest { Name = RunKeys.Best(run) }, cancellationToken: cancellation).ConfigureAwait(false)).Checkpoint, cancellation);

    private async Task<T?> FindAsync<T>(Func<Task<T>> call, CancellationToken cancellation)
        where T : class
    {
        try
        {
            return await CallAsync(call, cancellation).ConfigureAwait(false);
        }
        catch (DroverException e) when (e.Code == FailureCode.NotFound)
        {
            return null;
        }
    }

    /// <summary>A service that does not answer may be starting again: it is asked a few times.</summary>
    private async Task<T> CallAsync<T>(Func<Task<T>> call, CancellationToken cancellation)
    {
        for (int attempt = 0; ; attempt++)
        {
            try
            {
                return await call().ConfigureAwait(false);
            }
            catch (RpcException e) when (e.StatusCode == StatusCode.Unavailable && attempt < Pauses.Length)
            {
                await Task.Delay(Pauses[attempt], time, cancellation).ConfigureAwait(false);
            }
            catch (RpcException e)
            {
                throw RpcFailure.From(e, ServiceNames.Checkpoint);
            }
        }
    }
}
