using Drover.Discovery;
using Drover.Protocol.Trainer.V1;
using Grpc.Core;

namespace Drover.Gateway.Forwarding;

/// <summary>Every RPC of the trainer service, passed on to it.</summary>
internal sealed class TrainerForwarder(TrainerService.TrainerServiceClient client) : TrainerService.TrainerServiceBase
{
    private const string Service = ServiceNames.Trainer;

    public override Task<CreateTrainingJobResponse> CreateTrainingJob(CreateTrainingJobRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<CreateTrainingJobRequest, CreateTrainingJobResponse>(Service, client.CreateTrainingJobAsync, request, context);

    public override Task<PlanTrainingResponse> PlanTraining(PlanTrainingRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<PlanTrainingRequest, PlanTrainingResponse>(Service, client.PlanTrainingAsync, request, context);

    public override Task<GetTrainingJobResponse> GetTrainingJob(GetTrainingJobRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<GetTrainingJobRequest, GetTrainingJobResponse>(Service, client.GetTrainingJobAsync, request, context);

    public override Task<ListTrainingJobsResponse> ListTrainingJobs(ListTrainingJobsRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<ListTrainingJobsRequest, ListTrainingJobsResponse>(Service, client.ListTrainingJobsAsync, request, context);

    public override Task<CancelTrainingJobResponse> CancelTrainingJob(CancelTrainingJobRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<CancelTrainingJobRequest, CancelTrainingJobResponse>(Service, client.CancelTrainingJobAsync, request, context);

    public override Task<PauseTrainingJobResponse> PauseTrainingJob(PauseTrainingJobRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<PauseTrainingJobRequest, PauseTrainingJobResponse>(Service, client.PauseTrainingJobAsync, request, context);

    public override Task<ResumeTrainingJobResponse> ResumeTrainingJob(ResumeTrainingJobRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<ResumeTrainingJobRequest, ResumeTrainingJobResponse>(Service, client.ResumeTrainingJobAsync, request, context);

    public override Task<ProfileTrainingJobResponse> ProfileTrainingJob(ProfileTrainingJobRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<ProfileTrainingJobRequest, ProfileTrainingJobResponse>(Service, client.ProfileTrainingJobAsync, request, context);

    public override Task<SaveTrainingJobResponse> SaveTrainingJob(SaveTrainingJobRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<SaveTrainingJobRequest, SaveTrainingJobResponse>(Service, client.SaveTrainingJobAsync, request, context);

    public override Task WatchTrainingJob(WatchTrainingJobRequest request, IServerStreamWriter<WatchTrainingJobResponse> responseStream, ServerCallContext context) =>
        Forward.StreamAsync<WatchTrainingJobRequest, WatchTrainingJobResponse>(Service, client.WatchTrainingJob, request, responseStream, context);

    public override Task<CreateEvaluationResponse> CreateEvaluation(CreateEvaluationRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<CreateEvaluationRequest, CreateEvaluationResponse>(Service, client.CreateEvaluationAsync, request, context);

    public override Task<GetEvaluationResponse> GetEvaluation(GetEvaluationRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<GetEvaluationRequest, GetEvaluationResponse>(Service, client.GetEvaluationAsync, request, context);

    public override Task<CancelEvaluationResponse> CancelEvaluation(CancelEvaluationRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<CancelEvaluationRequest, CancelEvaluationResponse>(Service, client.CancelEvaluationAsync, request, context);

    public override Task WatchEvaluation(WatchEvaluationRequest request, IServerStreamWriter<WatchEvaluationResponse> responseStream, ServerCallContext context) =>
        Forward.StreamAsync<WatchEvaluationRequest, WatchEvaluationResponse>(Service, client.WatchEvaluation, request, responseStream, context);

    public override Task<GenerateTextResponse> GenerateText(GenerateTextRequest request, ServerCallContext context) =>
        Forward.UnaryAsync<GenerateTextRequest, GenerateTextResponse>(Service, client.GenerateTextAsync, request, context);

    public override Task StreamText(StreamTextRequest request, IServerStreamWriter<StreamTextResponse> responseStream, ServerCallContext context) =>
        Forward.StreamAsync<StreamTextRequest, StreamTextResponse>(Service, client.StreamText, request, responseStream, context);
}
