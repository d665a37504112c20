using System.Globalization;
using Drover.Discovery;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Gateway.V1;
using Drover.Protocol.Trainer.V1;
using Google.Protobuf;
using Grpc.Core;

namespace Drover.Gateway.Pipelines.Steps;

/// <summary>Trains a model.</summary>
internal sealed class TrainingStep(TrainerService.TrainerServiceClient client) : IStepWork
{
    public PipelineStep.WorkOneofCase Kind => PipelineStep.WorkOneofCase.Train;

    public string Service => ServiceNames.Trainer;

    public async Task<Job> CreateAsync(string requestId, IMessage spec, Metadata headers, CancellationToken cancellation) =>
        (await client.CreateTrainingJobAsync(new CreateTrainingJobRequest { RequestId = requestId, Spec = (TrainingSpec)spec }, headers, cancellationToken: cancellation).ConfigureAwait(false)).Job.Job;

    public async Task<StepOutcome> GetAsync(string job, CancellationToken cancellation)
    {
        TrainingJob found = (await client.GetTrainingJobAsync(new GetTrainingJobRequest { Name = job }, cancellationToken: cancellation).ConfigureAwait(false)).Job;
        return StepOutcome.Of(
            found.Job,
            found.Result is not null,
            (StepKinds.Checkpoint, found.Result?.Checkpoint),
            (StepKinds.BestCheckpoint, found.Result?.BestCheckpoint),
            (StepKinds.Loss, found.Result?.LastLoss.ToString("R", CultureInfo.InvariantCulture)));
    }

    public IAsyncEnumerable<JobEvent> WatchAsync(string job, long fromRevision, CancellationToken cancellation) =>
        client.WatchTrainingJob(new WatchTrainingJobRequest { Name = job, FromRevision = fromRevision }, cancellationToken: cancellation).SelectAsync(answer => answer.Event, cancellation);

    public async Task CancelAsync(string job, CancellationToken cancellation) =>
        await client.CancelTrainingJobAsync(new CancelTrainingJobRequest { Name = job }, cancellationToken: cancellation).ConfigureAwait(false);

    public async Task<bool> PauseAsync(string job, CancellationToken cancellation)
    {
        await client.PauseTrainingJobAsync(new PauseTrainingJobRequest { Name = job }, cancellationToken: cancellation).ConfigureAwait(false);
        return true;
    }

    public async Task ResumeAsync(string job, CancellationToken cancellation) =>
        await client.ResumeTrainingJobAsync(new ResumeTrainingJobRequest { Name = job }, cancellationToken: cancellation).ConfigureAwait(false);
}
