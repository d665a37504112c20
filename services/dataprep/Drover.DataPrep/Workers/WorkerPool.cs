using Drover.DataPrep.Building;
using Drover.ObjectStore;
using Drover.Protocol.DataPrep.V1;
using Microsoft.Extensions.Options;

namespace Drover.DataPrep.Workers;

/// <summary>The workers of this process. They use the same calls as workers elsewhere.</summary>
internal sealed class WorkerPool(
    IOptions<DataPrepOptions> options, DataPrepWorkerService.DataPrepWorkerServiceClient client, IObjectStore store, BuildTask tasks, TimeProvider time, ILogger<TaskWorker> logger)
    : BackgroundService
{
    // Of two for each slot, one stores while the other computes.
    private readonly SemaphoreSlim _slots = new(options.Value.WorkerCount);

    public override void Dispose()
    {
        base.Dispose();
        _slots.Dispose();
    }

    protected override Task ExecuteAsync(CancellationToken stoppingToken) =>
        Task.WhenAll(Enumerable.Range(0, 2 * options.Value.WorkerCount).Select(i =>
            Task.Run(() => new TaskWorker($"{Environment.MachineName}-{Environment.ProcessId}-{i}", _slots, client, store, tasks, time, logger).RunAsync(stoppingToken), stoppingToken)));
}
