using Drover.Discovery;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Gateway.V1;
using Drover.Protocol.Tokenizer.V1;
using Google.Protobuf;
using Grpc.Core;

namespace Drover.Gateway.Pipelines.Steps;

/// <summary>Learns a tokenizer.</summary>
internal sealed class TokenizerTrainingStep(TokenizerService.TokenizerServiceClient client) : IStepWork
{
    public PipelineStep.WorkOneofCase Kind => PipelineStep.WorkOneofCase.TrainTokenizer;

    public string Service => ServiceNames.Tokenizer;

    public async Task<Job> CreateAsync(string requestId, IMessage spec, Metadata headers, CancellationToken cancellation) =>
        (await client.CreateTokenizerTrainingAsync(new CreateTokenizerTrainingRequest { RequestId = requestId, Spec = (TokenizerTrainingSpec)spec }, headers, cancellationToken: cancellation).ConfigureAwait(false)).Training.Job;

    public async Task<StepOutcome> GetAsync(string job, CancellationToken cancellation)
    {
        TokenizerTraining found = (await client.GetTokenizerTrainingAsync(new GetTokenizerTrainingRequest { Name = job }, cancellationToken: cancellation).ConfigureAwait(false)).Training;
        return StepOutcome.Of(
            found.Job,
            found.Result is not null,
            (StepKinds.Tokenizer, found.Result?.Tokenizer));
    }

    public IAsyncEnumerable<JobEvent> WatchAsync(string job, long fromRevision, CancellationToken cancellation) =>
        client.WatchTokenizerJob(new WatchTokenizerJobRequest { Name = job, FromRevision = fromRevision }, cancellationToken: cancellation).SelectAsync(answer => answer.Event, cancellation);

    public async Task CancelAsync(string job, CancellationToken cancellation) =>
        await client.CancelTokenizerJobAsync(new CancelTokenizerJobRequest { Name = job }, cancellationToken: cancellation).ConfigureAwait(false);
}
