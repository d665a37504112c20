using Drover.Discovery;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Gateway.V1;
using Google.Protobuf;
using Grpc.Core;

namespace Drover.Gateway.Pipelines.Steps;

/// <summary>Exports a checkpoint as a Hugging Face folder.</summary>
internal sealed class ExportStep(CheckpointService.CheckpointServiceClient client) : IStepWork
{
    public PipelineStep.WorkOneofCase Kind => PipelineStep.WorkOneofCase.Export;

    public string Service => ServiceNames.Checkpoint;

    public async Task<Job> CreateAsync(string requestId, IMessage spec, Metadata headers, CancellationToken cancellation) =>
        (await client.CreateExportAsync(new CreateExportRequest { RequestId = requestId, Spec = (ExportSpec)spec }, headers, cancellationToken: cancellation).ConfigureAwait(false)).Export.Job;

    public async Task<StepOutcome> GetAsync(string job, CancellationToken cancellation)
    {
        Export found = (await client.GetExportAsync(new GetExportRequest { Name = job }, cancellationToken: cancellation).ConfigureAwait(false)).Export;
        return StepOutcome.Of(
            found.Job,
            found.Result is not null,
            (StepKinds.Model, found.Result?.Name));
    }

    public IAsyncEnumerable<JobEvent> WatchAsync(string job, long fromRevision, CancellationToken cancellation) =>
        client.WatchExport(new WatchExportRequest { Name = job, FromRevision = fromRevision }, cancellationToken: cancellation).SelectAsync(answer => answer.Event, cancellation);

    public async Task CancelAsync(string job, CancellationToken cancellation) =>
        await client.CancelExportAsync(new CancelExportRequest { Name = job }, cancellationToken: cancellation).ConfigureAwait(false);
}
