using Drover.Discovery;
using Drover.Protocol.Tokenizer.V1;
using Grpc.Core;

namespace Drover.Gateway.Forwarding;

/// <summary>Every RPC of the tokenizer service, passed on to it.</summary>
internal sealed class TokenizerForwarder(TokenizerService.TokenizerServiceClient client) : TokenizerService.TokenizerServiceBase
{
    private const string Service = ServiceNames.Tokenizer;

    public override Task<InspectTokenizerResponse> InspectTokenizer(InspectTokenizerRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<InspectTokenizerRequest, InspectTokenizerResponse>(Service, client.InspectTokenizerAsync, request, context);

    public override Task<EncodeResponse> Encode(EncodeRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<EncodeRequest, EncodeResponse>(Service, client.EncodeAsync, request, context);

    public override Task<DecodeResponse> Decode(DecodeRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<DecodeRequest, DecodeResponse>(Service, client.DecodeAsync, request, context);

    public override Task EncodeBatch(IAsyncStreamReader<EncodeBatchRequest> requestStream, IServerStreamWriter<EncodeBatchResponse> responseStream, ServerCallContext context) =>
        Forward.DuplexAsync<EncodeBatchRequest, EncodeBatchResponse>(Service, client.EncodeBatch, requestStream, responseStream, context);

    public override Task<ApplyChatTemplateResponse> ApplyChatTemplate(ApplyChatTemplateRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<ApplyChatTemplateRequest, ApplyChatTemplateResponse>(Service, client.ApplyChatTemplateAsync, request, context);

    public override Task<CountTokensResponse> CountTokens(CountTokensRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<CountTokensRequest, CountTokensResponse>(Service, client.CountTokensAsync, request, context);

    public override Task<CreateTokenizerTrainingResponse> CreateTokenizerTraining(CreateTokenizerTrainingRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<CreateTokenizerTrainingRequest, CreateTokenizerTrainingResponse>(Service, client.CreateTokenizerTrainingAsync, request, context);

    public override Task<GetTokenizerTrainingResponse> GetTokenizerTraining(GetTokenizerTrainingRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<GetTokenizerTrainingRequest, GetTokenizerTrainingResponse>(Service, client.GetTokenizerTrainingAsync, request, context);

    public override Task<CreateExpansionResponse> CreateExpansion(CreateExpansionRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<CreateExpansionRequest, CreateExpansionResponse>(Service, client.CreateExpansionAsync, request, context);

    public override Task<GetExpansionResponse> GetExpansion(GetExpansionRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<GetExpansionRequest, GetExpansionResponse>(Service, client.GetExpansionAsync, request, context);

    public override Task<ListTokenizerJobsResponse> ListTokenizerJobs(ListTokenizerJobsRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<ListTokenizerJobsRequest, ListTokenizerJobsResponse>(Service, client.ListTokenizerJobsAsync, request, context);

    public override Task<CancelTokenizerJobResponse> CancelTokenizerJob(CancelTokenizerJobRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<CancelTokenizerJobRequest, CancelTokenizerJobResponse>(Service, client.CancelTokenizerJobAsync, request, context);

    public override Task WatchTokenizerJob(WatchTokenizerJobRequest request, IServerStreamWriter<WatchTokenizerJobResponse> responseStream, ServerCallContext context) =>
        Forward.StreamAsync<WatchTokenizerJobRequest, WatchTokenizerJobResponse>(Service, client.WatchTokenizerJob, request, responseStream, context);
}
