using System.Text;
using Drover.Jobs;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Tokenizer.V1;
using Drover.Tokenization;
using Grpc.Core;

namespace Drover.Tokenizer;

/// <summary>The API; the work is done by the catalog and the executors.</summary>
internal sealed class TokenizerGrpcService(TokenizerCatalog catalog, ChatRenderer chats, SpecChecks checks, JobQueue queue) : TokenizerService.TokenizerServiceBase
{
    public override async Task<InspectTokenizerResponse> InspectTokenizer(InspectTokenizerRequest request, ServerCallContext context) =>
        new() { Info = TokenizerInfos.Of(await catalog.GetAsync(request.Tokenizer, context.CancellationToken)) };

    public override async Task<EncodeResponse> Encode(EncodeRequest request, ServerCallContext context)
    {
        ITextTokenizer tokenizer = await catalog.GetAsync(request.Tokenizer, context.CancellationToken);
        var response = new EncodeResponse();
        if (request.AddBos && tokenizer.BosId >= 0)
            response.Ids.Add(tokenizer.BosId);
        response.Ids.AddRange(request.ParseSpecialTokens ? tokenizer.EncodeWithSpecialTokens(request.Text) : tokenizer.Encode(request.Text));
        if (request.AddEos && tokenizer.EosId >= 0)
            response.Ids.Add(tokenizer.EosId);
        response.Pieces.AddRange(response.Ids.Select(tokenizer.PieceOf));
        return response;
    }

    public override async Task EncodeBatch(IAsyncStreamReader<EncodeBatchRequest> requestStream, IServerStreamWriter<EncodeBatchResponse> responseStream, ServerCallContext context)
    {
        while (await requestStream.MoveNext(context.CancellationToken))
        {
            EncodeBatchRequest request = requestStream.Current;
            ITextTokenizer tokenizer = await catalog.GetAsync(request.Tokenizer, context.CancellationToken);
            int[][] ids = tokenizer.EncodeAll(request.Texts, context.CancellationToken);
            var response = new EncodeBatchResponse();
            foreach (int[] text in ids)
            {
                response.Counts.Add(text.Length);
                if (!request.CountsOnly)
                    response.Ids.AddRange(text);
            }

            await responseStream.WriteAsync(response, context.CancellationToken);
        }
    }

    public override async Task<ApplyChatTemplateResponse> ApplyChatTemplate(ApplyChatTemplateRequest request, ServerCallContext context)
    {
        ITextTokenizer tokenizer = await catalog.GetAsync(request.Tokenizer, context.CancellationToken);
        string text = await chats.RenderAsync(request, context.CancellationToken);
        return new ApplyChatTemplateResponse { Text = text, Ids = { tokenizer.EncodeWithSpecialTokens(text) } };
    }

    public override async Task<DecodeResponse> Decode(DecodeRequest request, ServerCallContext context)
    {
        ITextTokenizer tokenizer = await catalog.GetAsync(request.Tokenizer, context.CancellationToken);
        return new DecodeResponse { Text = tokenizer.Decode(request.Ids, request.SkipSpecialTokens) };
    }

    public override async Task<CountTokensResponse> CountTokens(CountTokensRequest request, ServerCallContext context)
    {
        ITextTokenizer tokenizer = await catalog.GetAsync(request.Tokenizer, context.CancellationToken);
        var response = new CountTokensResponse();
        var ids = new TokenBuffer();
        foreach (string text in request.Texts)
        {
            ids.Clear();
            byte[] utf8 = Encoding.UTF8.GetBytes(text);
            tokenizer.Encode(utf8, ids);
            response.Counts.Add(ids.Count);
            response.TotalTokens += ids.Count;
            response.TotalUtf8Bytes += utf8.Length;
        }

        return response;
    }

    public override async Task<CreateTokenizerTrainingResponse> CreateTokenizerTraining(CreateTokenizerTrainingRequest request, ServerCallContext context)
    {
        await checks.CheckAsync(request.Spec, context.CancellationToken);
        return new CreateTokenizerTrainingResponse { Training = Training(queue.Create(TokenizerTrainingExecutor.JobKind, request.RequestId, request.Spec, JobTerms.Of(context))) };
    }

    public override Task<GetTokenizerTrainingResponse> GetTokenizerTraining(GetTokenizerTrainingRequest request, ServerCallContext context) =>
        Task.FromResult(new GetTokenizerTrainingResponse { Training = Training(queue.Get(request.Name, TokenizerTrainingExecutor.JobKind)) });

    public override async Task<CreateExpansionResponse> CreateExpansion(CreateExpansionRequest request, ServerCallContext context)
    {
        await checks.CheckAsync(request.Spec, context.CancellationToken);
        return new CreateExpansionResponse { Expansion = Expansion(queue.Create(ExpansionExecutor.JobKind, request.RequestId, request.Spec, JobTerms.Of(context))) };
    }

    public override Task<GetExpansionResponse> GetExpansion(GetExpansionRequest request, ServerCallContext context) =>
        Task.FromResult(new GetExpansionResponse { Expansion = Expansion(queue.Get(request.Name, ExpansionExecutor.JobKind)) });

    public override Task<ListTokenizerJobsResponse> ListTokenizerJobs(ListTokenizerJobsRequest request, ServerCallContext context)
    {
        JobPage page = queue.List("", request.PageSize, request.PageToken);
        var response = new ListTokenizerJobsResponse { NextPageToken = page.NextPageToken };
        response.Jobs.AddRange(page.Jobs.Select(j => j.Job));
        return Task.FromResult(response);
    }

    public override Task<CancelTokenizerJobResponse> CancelTokenizerJob(CancelTokenizerJobRequest request, ServerCallContext context) =>
        Task.FromResult(new CancelTokenizerJobResponse { Job = queue.Cancel(request.Name, "").Job });

    public override async Task WatchTokenizerJob(WatchTokenizerJobRequest request, IServerStreamWriter<WatchTokenizerJobResponse> responseStream, ServerCallContext context)
    {
        await foreach (JobEvent update in queue.WatchAsync(request.Name, "", request.FromRevision, context.CancellationToken))
            await responseStream.WriteAsync(new WatchTokenizerJobResponse { Event = update }, context.CancellationToken);
    }

    private static TokenizerTraining Training(JobEntry entry) =>
        new() { Job = entry.Job, Spec = entry.Spec<TokenizerTrainingSpec>(), Result = entry.Result<TokenizerTrainingResult>() };

    private static Expansion Expansion(JobEntry entry) =>
        new() { Job = entry.Job, Spec = entry.Spec<ExpansionSpec>(), Result = entry.Result<ExpansionResult>() };
}
