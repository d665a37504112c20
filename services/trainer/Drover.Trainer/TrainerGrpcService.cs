using Drover.Formats.Checkpoints;
using Drover.Jobs;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Trainer.V1;
using Grpc.Core;

namespace Drover.Trainer;

/// <summary>The public interface of the trainer.</summary>
internal sealed class TrainerGrpcService(JobQueue queue, TrainingChecks checks, SpeedPlans speeds, JobMetrics metrics, RunningAttempts running, TextWork texts) : TrainerService.TrainerServiceBase
{
    public override async Task<CreateTrainingJobResponse> CreateTrainingJob(CreateTrainingJobRequest request, ServerCallContext context)
    {
        TrainingSpec spec = request.Spec ?? new TrainingSpec();
        TrainingPlan plan = (await checks.CheckAsync(spec, context.CancellationToken).ConfigureAwait(false)).Plan;
        TrainingJob job = request.DryRun
            ? new TrainingJob { Spec = spec }
            : await DescribeAsync(queue.Create(TrainingExecutor.JobKind, request.RequestId, spec, TrainingCapacity.Terms(JobTerms.Of(context), spec, plan)), context.CancellationToken).ConfigureAwait(false);
        return new CreateTrainingJobResponse { Job = job, Plan = plan };
    }

    public override async Task<PlanTrainingResponse> PlanTraining(PlanTrainingRequest request, ServerCallContext context)
    {
        PlannedRun run = await checks.PlanAsync(request.Spec ?? new TrainingSpec(), request.RowTokens, context.CancellationToken).ConfigureAwait(false);
        if (request.Propose)
        {
            IReadOnlyList<PlannedRun> runs = checks.Proposals(run);
            IReadOnlyList<SpeedPlan> predicted = runs.Count == 0 ? [] : await speeds.PredictAsync(runs, mayMeasure: true, context.CancellationToken).ConfigureAwait(false);
            run.Plan.Proposals.Add(LayoutProposals.Describe(runs, predicted));
        }

        // A run that does not fit is not begun, not even with few layers.
        if (run.Plan.Memory.Fits)
            run.Plan.Speed = (await speeds.PredictAsync([run], request.Measure, context.CancellationToken).ConfigureAwait(false))[0];
        return new PlanTrainingResponse { Plan = run.Plan };
    }

    public override async Task<GetTrainingJobResponse> GetTrainingJob(GetTrainingJobRequest request, ServerCallContext context) =>
        new() { Job = await DescribeAsync(queue.Get(request.Name, TrainingExecutor.JobKind), context.CancellationToken).ConfigureAwait(false) };

    public override async Task<ListTrainingJobsResponse> ListTrainingJobs(ListTrainingJobsRequest request, ServerCallContext context)
    {
        JobPage page = queue.List(TrainingExecutor.JobKind, request.PageSize, request.PageToken);
        var response = new ListTrainingJobsResponse { NextPageToken = page.NextPageToken };
        foreach (JobEntry entry in page.Jobs)
            response.Jobs.Add(await DescribeAsync(entry, context.CancellationToken).ConfigureAwait(false));
        return response;
    }

    public override async Task<CancelTrainingJobResponse> CancelTrainingJob(CancelTrainingJobRequest request, ServerCallContext context) =>
        new() { Job = await DescribeAsync(queue.Cancel(request.Name, TrainingExecutor.JobKind), context.CancellationToken).ConfigureAwait(false) };

    public override async Task<PauseTrainingJobResponse> PauseTrainingJob(PauseTrainingJobRequest request, ServerCallContext context) =>
        new() { Job = await DescribeAsync(queue.Pause(request.Name, TrainingExecutor.JobKind), context.CancellationToken).ConfigureAwait(false) };

    public override async Task<ResumeTrainingJobResponse> ResumeTrainingJob(ResumeTrainingJobRequest request, ServerCallContext context) =>
        new() { Job = await DescribeAsync(queue.Resume(request.Name, TrainingExecutor.JobKind), context.CancellationToken).ConfigureAwait(false) };

    public override Task<ProfileTrainingJobResponse> ProfileTrainingJob(ProfileTrainingJobRequest request, ServerCallContext context)
    {
        JobEntry entry = queue.Get(request.Name, TrainingExecutor.JobKind);
        running.AskForProfile(entry.Job.Name, request.Steps);
        return Task.FromResult(new ProfileTrainingJobResponse { Profiles = RunKeys.Profiles(entry.Spec<TrainingSpec>().Name) });
    }

    public override async Task<SaveTrainingJobResponse> SaveTrainingJob(SaveTrainingJobRequest request, ServerCallContext context)
    {
        JobEntry entry = queue.Get(request.Name, TrainingExecutor.JobKind);
        running.AskToSave(entry.Job.Name);
        return new SaveTrainingJobResponse { Step = (await metrics.OfAsync(entry.Job, context.CancellationToken).ConfigureAwait(false)).Latest?.Step ?? 0 };
    }

    public override async Task WatchTrainingJob(WatchTrainingJobRequest request, IServerStreamWriter<WatchTrainingJobResponse> responseStream, ServerCallContext context)
    {
        await foreach (JobEvent update in queue.WatchAsync(request.Name, TrainingExecutor.JobKind, request.FromRevision, context.CancellationToken).ConfigureAwait(false))
            await responseStream.WriteAsync(new WatchTrainingJobResponse { Event = update }, context.CancellationToken).ConfigureAwait(false);
    }

    public override async Task<CreateEvaluationResponse> CreateEvaluation(CreateEvaluationRequest request, ServerCallContext context)
    {
        EvaluationSpec spec = request.Spec ?? new EvaluationSpec();
        await checks.CheckAsync(spec, context.CancellationToken).ConfigureAwait(false);
        return new CreateEvaluationResponse { Evaluation = Describe(queue.Create(EvaluationExecutor.JobKind, request.RequestId, spec, JobTerms.Of(context))) };
    }

    public override Task<GetEvaluationResponse> GetEvaluation(GetEvaluationRequest request, ServerCallContext context) =>
        Task.FromResult(new GetEvaluationResponse { Evaluation = Describe(queue.Get(request.Name, EvaluationExecutor.JobKind)) });

    public override Task<CancelEvaluationResponse> CancelEvaluation(CancelEvaluationRequest request, ServerCallContext context) =>
        Task.FromResult(new CancelEvaluationResponse { Evaluation = Describe(queue.Cancel(request.Name, EvaluationExecutor.JobKind)) });

    public override async Task WatchEvaluation(WatchEvaluationRequest request, IServerStreamWriter<WatchEvaluationResponse> responseStream, ServerCallContext context)
    {
        await foreach (JobEvent update in queue.WatchAsync(request.Name, EvaluationExecutor.JobKind, request.FromRevision, context.CancellationToken).ConfigureAwait(false))
            await responseStream.WriteAsync(new WatchEvaluationResponse { Event = update }, context.CancellationToken).ConfigureAwait(false);
    }

    public override async Task<GenerateTextResponse> GenerateText(GenerateTextRequest request, ServerCallContext context)
    {
        Continuation[] continuations = [];
        var response = new GenerateTextResponse();
        response.Statistics = await texts.RunAsync(request, count => continuations = [.. Enumerable.Range(0, count).Select(_ => new Continuation())], piece =>
        {
            Continuation continuation = continuations[piece.Prompt];
            continuation.Text += piece.Text;
            continuation.Ids.Add(piece.Ids);
            continuation.EndReason = piece.EndReason;
            return Task.CompletedTask;
        }, context).ConfigureAwait(false);
        response.Continuations.Add(continuations);
        response.Text = continuations[0].Text;
        response.Ids.Add(continuations[0].Ids);
        return response;
    }

    public override async Task StreamText(StreamTextRequest request, IServerStreamWriter<StreamTextResponse> responseStream, ServerCallContext context)
    {
        Task TellAsync(StreamTextResponse response) => responseStream.WriteAsync(response, context.CancellationToken);
        TextStatistics statistics = await texts.RunAsync(request.Generate ?? new GenerateTextRequest(), _ => { }, piece => TellAsync(new StreamTextResponse { Piece = piece }), context).ConfigureAwait(false);
        await TellAsync(new StreamTextResponse { Statistics = statistics }).ConfigureAwait(false);
    }

    private async Task<TrainingJob> DescribeAsync(JobEntry entry, CancellationToken cancellation) => new()
    {
        Job = entry.Job,
        Spec = entry.Spec<TrainingSpec>(),
        Result = entry.Result<TrainingResult>(),
        LatestMetrics = (await metrics.OfAsync(entry.Job, cancellation).ConfigureAwait(false)).Latest,
    };

    private static Evaluation Describe(JobEntry entry) => new()
    {
        Job = entry.Job,
        Spec = entry.Spec<EvaluationSpec>(),
        Result = entry.Result<EvaluationResult>(),
    };
}
