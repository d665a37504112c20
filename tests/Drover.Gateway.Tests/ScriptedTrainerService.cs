using Drover.Hosting;
using Drover.Jobs;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Trainer.V1;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;

namespace Drover.Gateway.Tests;

/// <summary>A trainer service with real jobs, whose evaluations measure nothing and end when they are let.</summary>
internal sealed class ScriptedTrainerService(JobQueue queue) : TrainerService.TrainerServiceBase
{
    private const string EvaluationKind = "evaluation";
    private const string TrainingKind = "training";

    public static WebApplication Build(string[] args, Script script)
    {
        WebApplicationBuilder builder = DroverHost.CreateBuilder("trainer", args);
        builder.Services.AddSingleton(script);
        builder.Services.AddJobs(builder.Configuration);
        builder.Services.AddJobExecutor<Evaluating>();
        builder.Services.AddJobExecutor<Trains>();
        WebApplication app = builder.Build();
        app.MapGrpcService<ScriptedTrainerService>();
        return app.MapDroverDefaults();
    }

    /// <summary>Plans nothing: shows what it was asked.</summary>
    public override Task<CreateTrainingJobResponse> CreateTrainingJob(CreateTrainingJobRequest request, ServerCallContext context) =>
        Task.FromResult(new CreateTrainingJobResponse { Job = request.DryRun ? new TrainingJob { Spec = request.Spec } : Training(queue.Create(TrainingKind, request.RequestId, request.Spec, JobTerms.Of(context))), Plan = PlanOf(request.Spec, 0) });

    public override Task<GetTrainingJobResponse> GetTrainingJob(GetTrainingJobRequest request, ServerCallContext context) =>
        Task.FromResult(new GetTrainingJobResponse { Job = Training(queue.Get(request.Name, TrainingKind)) });

    public override Task<CancelTrainingJobResponse> CancelTrainingJob(CancelTrainingJobRequest request, ServerCallContext context) =>
        Task.FromResult(new CancelTrainingJobResponse { Job = Training(queue.Cancel(request.Name, TrainingKind)) });

    public override Task<PauseTrainingJobResponse> PauseTrainingJob(PauseTrainingJobRequest request, ServerCallContext context) =>
        Task.FromResult(new PauseTrainingJobResponse { Job = Training(queue.Pause(request.Name, TrainingKind)) });

    public override Task<ResumeTrainingJobResponse> ResumeTrainingJob(ResumeTrainingJobRequest request, ServerCallContext context) =>
        Task.FromResult(new ResumeTrainingJobResponse { Job = Training(queue.Resume(request.Name, TrainingKind)) });

    public override Task<SaveTrainingJobResponse> SaveTrainingJob(SaveTrainingJobRequest request, ServerCallContext context) =>
        Task.FromResult(new SaveTrainingJobResponse { Step = queue.Get(request.Name, TrainingKind).Job.Attempt });

    public override async Task WatchTrainingJob(WatchTrainingJobRequest request, IServerStreamWriter<WatchTrainingJobResponse> responseStream, ServerCallContext context)
    {
        await foreach (JobEvent update in queue.WatchAsync(request.Name, TrainingKind, request.FromRevision, context.CancellationToken))
            await responseStream.WriteAsync(new WatchTrainingJobResponse { Event = update }, context.CancellationToken);
    }

    public override Task<PlanTrainingResponse> PlanTraining(PlanTrainingRequest request, ServerCallContext context) =>
        Task.FromResult(new PlanTrainingResponse { Plan = PlanOf(request.Spec, request.RowTokens) });

    public override Task<CreateEvaluationResponse> CreateEvaluation(CreateEvaluationRequest request, ServerCallContext context) =>
        Task.FromResult(new CreateEvaluationResponse { Evaluation = Describe(queue.Create(EvaluationKind, request.RequestId, request.Spec)) });

    public override Task<GetEvaluationResponse> GetEvaluation(GetEvaluationRequest request, ServerCallContext context) =>
        Task.FromResult(new GetEvaluationResponse { Evaluation = Describe(queue.Get(request.Name, EvaluationKind)) });

    public override Task<CancelEvaluationResponse> CancelEvaluation(CancelEvaluationRequest request, ServerCallContext context) =>
        Task.FromResult(new CancelEvaluationResponse { Evaluation = Describe(queue.Cancel(request.Name, EvaluationKind)) });

    public override async Task WatchEvaluation(WatchEvaluationRequest request, IServerStreamWriter<WatchEvaluationResponse> responseStream, ServerCallContext context)
    {
        await foreach (JobEvent update in queue.WatchAsync(request.Name, EvaluationKind, request.FromRevision, context.CancellationToken))
            await responseStream.WriteAsync(new WatchEvaluationResponse { Event = update }, context.CancellationToken);
    }

    private static TrainingPlan PlanOf(TrainingSpec spec, int rowTokens) => new()
    {
        Run = spec.Name,
        Ranks = 1,
        Parallelism = spec.Parallelism,
        MicroBatchTokens = rowTokens,
        Weights = { new WeightPlan { Name = "lm_head.weight", Count = 1, Shape = { 64, 32 }, CutDim = 0, PartShape = { 32, 32 } } },
        RankPlans =
        {
            new RankPlan
            {
                Blocks = { "embedding", "layers 0-7" },
                Memory = { new MemoryPlan { MemoryClass = MemoryClass.Optimizer, Place = MemoryPlace.Host, Bytes = 12_000_000 } },
                HostBytes = 12_000_000,
            },
        },
    };

    private static TrainingJob Training(JobEntry entry) =>
        new() { Job = entry.Job, Spec = entry.Spec<TrainingSpec>(), Result = entry.Result<TrainingResult>() };

    private static Evaluation Describe(JobEntry entry) =>
        new() { Job = entry.Job, Spec = entry.Spec<EvaluationSpec>(), Result = entry.Result<EvaluationResult>() };

    private sealed class Trains(Script script) : JobExecutor<TrainingSpec, TrainingResult>
    {
        public override string Kind => TrainingKind;

        public override async Task<TrainingResult> RunAsync(JobContext job, TrainingSpec spec, CancellationToken cancellation)
        {
            string checkpoint = $"runs/{spec.Name}/checkpoints/step-00000001";
            job.Log(LogLine.Types.Severity.Info, $"trains, attempt {job.Attempt}");
            job.Emit(new JobEvent { CheckpointCommitted = new CheckpointCommitted { Checkpoint = checkpoint, Step = 1, SizeBytes = 1000 } });
            for (long step = 1; script.IsGated && !await script.Gate.WaitAsync(TimeSpan.FromMilliseconds(250), cancellation); step++)
                job.Emit(new JobEvent { StepMetrics = new StepMetrics { Step = step, Loss = 1.0 / step, LearningRate = 1e-3, StepSeconds = 0.25 } });
            return new TrainingResult { Checkpoint = checkpoint, LastLoss = 1 };
        }
    }

    private sealed class Evaluating(Script script) : JobExecutor<EvaluationSpec, EvaluationResult>
    {
        public override string Kind => EvaluationKind;

        public override async Task<EvaluationResult> RunAsync(JobContext job, EvaluationSpec spec, CancellationToken cancellation)
        {
            job.Log(LogLine.Types.Severity.Info, $"evaluates {spec.Model}");
            if (script.IsGated)
                await script.Gate.WaitAsync(cancellation);
            return new EvaluationResult { Loss = 1 };
        }
    }
}
