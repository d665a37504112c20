using Drover.Discovery;
using Drover.Protocol.Common.V1;
using Drover.Protocol.DataPrep.V1;
using Drover.Protocol.Gateway.V1;
using Google.Protobuf;
using Grpc.Core;

namespace Drover.Gateway.Pipelines.Steps;

/// <summary>Builds a dataset.</summary>
internal sealed class DatasetStep(DataPrepService.DataPrepServiceClient client) : IStepWork
{
    public PipelineStep.WorkOneofCase Kind => PipelineStep.WorkOneofCase.Prepare;

    public string Service => ServiceNames.DataPrep;

    public async Task<Job> CreateAsync(string requestId, IMessage spec, Metadata headers, CancellationToken cancellation) =>
        (await client.CreateDatasetBuildAsync(new CreateDatasetBuildRequest { RequestId = requestId, Spec = (DatasetSpec)spec }, headers, cancellationToken: cancellation).ConfigureAwait(false)).Build.Job;

    public async Task<StepOutcome> GetAsync(string job, CancellationToken cancellation)
    {
        DatasetBuild found = (await client.GetDatasetBuildAsync(new GetDatasetBuildRequest { Name = job }, cancellationToken: cancellation).ConfigureAwait(false)).Build;
        return StepOutcome.Of(
            found.Job,
            found.Result is not null,
            (StepKinds.Dataset, found.Result?.Dataset_));
    }

    public IAsyncEnumerable<JobEvent> WatchAsync(string job, long fromRevision, CancellationToken cancellation) =>
        client.WatchDatasetBuild(new WatchDatasetBuildRequest { Name = job, FromRevision = fromRevision }, cancellationToken: cancellation).SelectAsync(answer => answer.Event, cancellation);

    public async Task CancelAsync(string job, CancellationToken cancellation) =>
        await client.CancelDatasetBuildAsync(new CancelDatasetBuildRequest { Name = job }, cancellationToken: cancellation).ConfigureAwait(false);
}
