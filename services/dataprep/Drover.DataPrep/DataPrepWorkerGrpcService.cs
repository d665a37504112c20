using Drover.DataPrep.Building;
using Drover.Errors;
using Drover.Protocol.DataPrep.V1;
using Grpc.Core;

namespace Drover.DataPrep;

/// <summary>Tasks for workers.</summary>
internal sealed class DataPrepWorkerGrpcService(BuildCoordinator coordinator, IHostApplicationLifetime lifetime) : DataPrepWorkerService.DataPrepWorkerServiceBase
{
    // A worker that finds no task asks again; this long it waits here for one to come.
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(5);

    public override async Task<LeaseTaskResponse> LeaseTask(LeaseTaskRequest request, ServerCallContext context)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, lifetime.ApplicationStopping);
        try
        {
            return await coordinator.LeaseAsync(LongestWait, stop.Token, request.Worker).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // The service stops or the worker hung up: for both there is no task now, and nothing went wrong.
            return new LeaseTaskResponse();
        }
    }

    public override Task<RenewLeaseResponse> RenewLease(RenewLeaseRequest request, ServerCallContext context)
    {
        coordinator.Renew(request.Lease, new TaskProgress(request.DoneBytes, request.DoneDocuments, request.DoneTokens));
        return Task.FromResult(new RenewLeaseResponse { LeaseSeconds = coordinator.LeaseSeconds });
    }

    public override async Task<CompleteTaskResponse> CompleteTask(CompleteTaskRequest request, ServerCallContext context)
    {
        await coordinator.CompleteAsync(request.Lease, context.CancellationToken).ConfigureAwait(false);
        return new CompleteTaskResponse();
    }

    public override Task<FailTaskResponse> FailTask(FailTaskRequest request, ServerCallContext context)
    {
        // CANCELLED: the worker stops; nothing is wrong with the task.
        bool stopping = request.Failure is null || request.Failure.Code == (int)FailureCode.Cancelled;
        coordinator.Fail(request.Lease, stopping ? null : new DroverException((FailureCode)request.Failure!.Code, request.Failure.Reason, request.Failure.Message));
        return Task.FromResult(new FailTaskResponse());
    }
}
