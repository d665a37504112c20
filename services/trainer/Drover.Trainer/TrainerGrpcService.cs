using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.Jobs;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Trainer.V1;
using Drover.Trainer.Contract;
using Grpc.Core;

namespace Drover.Trainer;

/// <summary>The public interface of the trainer.</summary>
internal sealed class TrainerGrpcService(JobQueue queue, TrainingChecks checks, JobMetrics metrics, WorkerLauncher launcher, AttemptFolders folders, RunningAttempts running) : TrainerService.TrainerServiceBase
{
    private const int DefaultNewTokens = 64;
    private const int MaxNewTokens = 4096;

    public override async Task<CreateTrainingJobResponse> CreateTrainingJob(CreateTrainingJobRequest request, ServerCallContext context)
    {
        TrainingSpec spec = request.Spec ?? new TrainingSpec();
        TrainingPlan plan = await checks.CheckAsync(spec, context.CancellationToken).ConfigureAwait(false);
        TrainingJob job = request.DryRun
            ? new TrainingJob { Spec = spec }
            : await DescribeAsync(queue.Create(TrainingExecutor.JobKind, request.RequestId, spec), context.CancellationToken).ConfigureAwait(false);
        return new CreateTrainingJobResponse { Job = job, Plan = plan };
    }

    public override async Task<PlanTrainingResponse> PlanTraining(PlanTrainingRequest request, ServerCallContext context) =>
        new() { Plan = await checks.PlanAsync(request.Spec ?? new TrainingSpec(), request.RowTokens, context.CancellationToken).ConfigureAwait(false) };

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

    public override Task<ProfileTrainingJobResponse> ProfileTrainingJob(ProfileTrainingJobRequest request, ServerCallContext context)
    {
        JobEntry entry = queue.Get(request.Name, TrainingExecutor.JobKind);
        running.AskForProfile(entry.Job.Name, request.Steps);
        return Task.FromResult(new ProfileTrainingJobResponse { Profiles = RunKeys.Profiles(entry.Spec<TrainingSpec>().Name) });
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
        return new CreateEvaluationResponse { Evaluation = Describe(queue.Create(EvaluationExecutor.JobKind, request.RequestId, spec)) };
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
        if (request.MaxNewTokens is < 0 or > MaxNewTokens)
            throw new DroverException(FailureCode.InvalidArgument, "INVALID_MAX_NEW_TOKENS", $"max_new_tokens is {request.MaxNewTokens}; give 1 to {MaxNewTokens}, or 0 for {DefaultNewTokens}.");
        await checks.CheckTextModelAsync(request.Model, context.CancellationToken).ConfigureAwait(false);
        string folder = folders.Open(AttemptFolders.Texts);
        WorkerSpec spec = launcher.NewSpec(folder) with
        {
            Precision = "fp32",
            Generate = new GenerateSpec(request.Model, request.Prompt, request.MaxNewTokens == 0 ? DefaultNewTokens : request.MaxNewTokens),
        };
        GeneratedEvent? generated = null;
        try
        {
            WorkerOutcome outcome = await launcher.RunAsync("generate", spec, 1, e => Keep(e, ref generated), context.CancellationToken).ConfigureAwait(false);
            return generated is null ? throw outcome.ToException() : new GenerateTextResponse { Text = generated.Text, Ids = { generated.Ids } };
        }
        catch (OperationCanceledException) when (context.Deadline <= DateTime.UtcNow)
        {
            throw new DroverException(FailureCode.DeadlineExceeded, "DEADLINE_EXCEEDED", "The text was not done within the call's deadline. Give a later one, or a smaller max_new_tokens.");
        }
        finally
        {
            // The prompt may be private: nothing of a call that went well, or was given up, stays behind.
            if (generated is not null || context.CancellationToken.IsCancellationRequested)
                folders.Discard(folder);
            else
                folders.Close(folder);
        }
    }

    private static Task Keep(WorkerEvent update, ref GeneratedEvent? generated)
    {
        generated = update.Generated ?? generated;
        return Task.CompletedTask;
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
