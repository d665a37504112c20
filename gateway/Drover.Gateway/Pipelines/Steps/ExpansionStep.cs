using Drover.Discovery;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Gateway.V1;
using Drover.Protocol.Tokenizer.V1;
using Google.Protobuf;
using Grpc.Core;

namespace Drover.Gateway.Pipelines.Steps;

/// <summary>Expands a tokenizer, and a model with it.</summary>
internal sealed class ExpansionStep(TokenizerService.TokenizerServiceClient client) : IStepWork
{
    public PipelineStep.WorkOneofCase Kind => PipelineStep.WorkOneofCase.Expand;

    public string Service => ServiceNames.Tokenizer;

    public async Task<Job> CreateAsync(string requestId, IMessage spec, Metadata headers, CancellationToken cancellation) =>
        (await client.CreateExpansionAsync(new CreateExpansionRequest { RequestId = requestId, Spec = (ExpansionSpec)spec }, headers, cancellationToken: cancellation).ConfigureAwait(false)).Expansion.Job;

    public async Task<StepOutcome> GetAsync(string job, CancellationToken cancellation)
    {
        Expansion found = (await client.GetExpansionAsync(new GetExpansionRequest { Name = job }, cancellationToken: cancellation).ConfigureAwait(false)).Expansion;
        return StepOutcome.Of(
            found.Job,
            found.Result is not null,
            (StepKinds.Tokenizer, found.Result?.Tokenizer),
            (StepKinds.Model, found.Result?.Model));
    }

    public IAsyncEnumerable<JobEvent> WatchAsync(string job, long fromRevision, CancellationToken cancellation) =>
        client.WatchTokenizerJob(new WatchTokenizerJobRequest { Name = job, FromRevision = fromRevision }, cancellationToken: cancellation).SelectAsync(answer => answer.Event, cancellation);

    public async Task CancelAsync(string job, CancellationToken cancellation) =>
        await client.CancelTokenizerJobAsync(new CancelTokenizerJobRequest { Name = job }, cancellationToken: cancellation).ConfigureAwait(false);
}
