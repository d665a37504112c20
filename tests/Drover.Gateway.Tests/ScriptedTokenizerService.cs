using Drover.Hosting;
using Drover.Jobs;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Tokenizer.V1;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;

namespace Drover.Gateway.Tests;

/// <summary>A tokenizer service with real jobs, whose work is a script. It learns at once and expands when it is let.</summary>
internal sealed class ScriptedTokenizerService(JobQueue queue) : TokenizerService.TokenizerServiceBase
{
    private const string TrainingKind = "tokenizer-training";
    private const string ExpansionKind = "expansion";

    public static WebApplication Build(string[] args, Script script)
    {
        WebApplicationBuilder builder = DroverHost.CreateBuilder("tokenizer", args);
        builder.Services.AddSingleton(script);
        builder.Services.AddJobs(builder.Configuration);
        builder.Services.AddJobExecutor<Training>();
        builder.Services.AddJobExecutor<Expanding>();
        WebApplication app = builder.Build();
        app.MapGrpcService<ScriptedTokenizerService>();
        return app.MapDroverDefaults();
    }

    public override Task<CreateTokenizerTrainingResponse> CreateTokenizerTraining(CreateTokenizerTrainingRequest request, ServerCallContext context) =>
        Task.FromResult(new CreateTokenizerTrainingResponse { Training = TrainingOf(queue.Create(TrainingKind, request.RequestId, request.Spec)) });

    public override Task<GetTokenizerTrainingResponse> GetTokenizerTraining(GetTokenizerTrainingRequest request, ServerCallContext context) =>
        Task.FromResult(new GetTokenizerTrainingResponse { Training = TrainingOf(queue.Get(request.Name, TrainingKind)) });

    public override Task<CreateExpansionResponse> CreateExpansion(CreateExpansionRequest request, ServerCallContext context) =>
        Task.FromResult(new CreateExpansionResponse { Expansion = ExpansionOf(queue.Create(ExpansionKind, request.RequestId, request.Spec)) });

    public override Task<GetExpansionResponse> GetExpansion(GetExpansionRequest request, ServerCallContext context) =>
        Task.FromResult(new GetExpansionResponse { Expansion = ExpansionOf(queue.Get(request.Name, ExpansionKind)) });

    public override Task<ListTokenizerJobsResponse> ListTokenizerJobs(ListTokenizerJobsRequest request, ServerCallContext context) =>
        Task.FromResult(new ListTokenizerJobsResponse { Jobs = { queue.List("", request.PageSize, request.PageToken).Jobs.Select(entry => entry.Job) } });

    public override Task<CancelTokenizerJobResponse> CancelTokenizerJob(CancelTokenizerJobRequest request, ServerCallContext context) =>
        Task.FromResult(new CancelTokenizerJobResponse { Job = queue.Cancel(request.Name, "").Job });

    public override async Task WatchTokenizerJob(WatchTokenizerJobRequest request, IServerStreamWriter<WatchTokenizerJobResponse> responseStream, ServerCallContext context)
    {
        await foreach (JobEvent update in queue.WatchAsync(request.Name, "", request.FromRevision, context.CancellationToken))
            await responseStream.WriteAsync(new WatchTokenizerJobResponse { Event = update }, context.CancellationToken);
    }

    private static TokenizerTraining TrainingOf(JobEntry entry) =>
        new() { Job = entry.Job, Spec = entry.Spec<TokenizerTrainingSpec>(), Result = entry.Result<TokenizerTrainingResult>() };

    private static Expansion ExpansionOf(JobEntry entry) =>
        new() { Job = entry.Job, Spec = entry.Spec<ExpansionSpec>(), Result = entry.Result<ExpansionResult>() };

    private sealed class Training : JobExecutor<TokenizerTrainingSpec, TokenizerTrainingResult>
    {
        public override string Kind => TrainingKind;

        public override Task<TokenizerTrainingResult> RunAsync(JobContext job, TokenizerTrainingSpec spec, CancellationToken cancellation)
        {
            job.Log(LogLine.Types.Severity.Info, $"learns from {string.Join(' ', spec.Sources)}");
            return Task.FromResult(new TokenizerTrainingResult { Tokenizer = $"tokenizers/{spec.Name}" });
        }
    }

    private sealed class Expanding(Script script) : JobExecutor<ExpansionSpec, ExpansionResult>
    {
        public override string Kind => ExpansionKind;

        public override async Task<ExpansionResult> RunAsync(JobContext job, ExpansionSpec spec, CancellationToken cancellation)
        {
            job.Log(LogLine.Types.Severity.Info, $"expands {spec.BaseTokenizer} by {spec.Pieces}");
            if (script.IsGated)
                await script.Gate.WaitAsync(cancellation);
            if (script.Failure is { } failure)
                throw failure;
            job.Log(LogLine.Types.Severity.Info, "expanded");
            return new ExpansionResult { Tokenizer = $"tokenizers/{spec.Name}" };
        }
    }
}
