using System.Globalization;
using Drover.Discovery;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Gateway.V1;
using Drover.Protocol.Trainer.V1;
using Google.Protobuf;
using Grpc.Core;

namespace Drover.Gateway.Pipelines.Steps;

/// <summary>Measures the loss of a model.</summary>
internal sealed class EvaluationStep(TrainerService.TrainerServiceClient client) : IStepWork
{
    public PipelineStep.WorkOneofCase Kind => PipelineStep.WorkOneofCase.Evaluate;

    public string Service => ServiceNames.Trainer;

    public async Task<Job> CreateAsync(string requestId, IMessage spec, Metadata headers, CancellationToken cancellation) =>
        (await client.CreateEvaluationAsync(new CreateEvaluationRequest { RequestId = requestId, Spec = (EvaluationSpec)spec }, headers, cancellationToken: cancellation).ConfigureAwait(false)).Evaluation.Job;

    public async Task<StepOutcome> GetAsync(string job, CancellationToken cancellation)
    {
        Evaluation found = (await client.GetEvaluationAsync(new GetEvaluationRequest { Name = job }, cancellationToken: cancellation).ConfigureAwait(false)).Evaluation;
        return StepOutcome.Of(
            found.Job,
            found.Result is not null,
            (StepKinds.Loss, found.Result?.Loss.ToString("R", CultureInfo.InvariantCulture)),
            (StepKinds.BitsPerByte, found.Result?.BitsPerByte.ToString("R", CultureInfo.InvariantCulture)));
    }

    public IAsyncEnumerable<JobEvent> WatchAsync(string job, long fromRevision, CancellationToken cancellation) =>
        client.WatchEvaluation(new WatchEvaluationRequest { Name = job, FromRevision = fromRevision }, cancellationToken: cancellation).SelectAsync(answer => answer.Event, cancellation);

    public async Task CancelAsync(string job, CancellationToken cancellation) =>
        await client.CancelEvaluationAsync(new CancelEvaluationRequest { Name = job }, cancellationToken: cancellation).ConfigureAwait(false);
}
