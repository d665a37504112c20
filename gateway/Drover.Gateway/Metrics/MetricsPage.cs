using Drover.Gateway.Status;
using Drover.Hosting.Security;
using Drover.Protocol.Checkpoint.V1;
using Drover.Protocol.Common.V1;
using Drover.Protocol.DataPrep.V1;
using Drover.Protocol.Gateway.V1;
using Drover.Protocol.Tokenizer.V1;
using Drover.Protocol.Trainer.V1;
using Grpc.Core;

namespace Drover.Gateway.Metrics;

/// <summary>
/// GET /metrics: what Prometheus reads. It is asked of the services at every scrape, so one gateway is all that is scraped and nothing is
/// counted that a restart would forget: which services answer, the newest jobs of each kind by state, and of every training that runs its
/// newest step.
/// </summary>
internal sealed class MetricsPage(
    ServiceHealth health, GatewayService.GatewayServiceClient gateway, TokenizerService.TokenizerServiceClient tokenizer, DataPrepService.DataPrepServiceClient dataPrep,
    TrainerService.TrainerServiceClient trainer, CheckpointService.CheckpointServiceClient checkpoint, TimeProvider time)
{
    private const int JobsLooked = 200;
    private const int EventsLooked = 30;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private static readonly (string Name, string Help, Func<StepMetrics, double> Of)[] Steps =
    [
        ("drover_training_step", "Optimizer steps done.", m => m.Step),
        ("drover_training_loss", "Mean loss of the newest step, nats per token.", m => m.Loss),
        ("drover_training_learning_rate", "Learning rate of the newest step.", m => m.LearningRate),
        ("drover_training_grad_norm", "L2 norm of the gradients before clipping.", m => m.GradNorm),
        ("drover_training_tokens_per_second", "Tokens of all ranks a second.", m => m.TokensPerSecond),
        ("drover_training_tokens_seen", "Tokens since the start of the run.", m => m.TokensSeen),
        ("drover_training_mfu", "Model FLOP/s as a part of what the ranks reach at most, 0 to 1.", m => m.Mfu),
        ("drover_training_memory_bytes", "Resident memory of the largest rank.", m => m.MemoryBytes),
        ("drover_training_skipped_steps", "Steps that changed no weight.", m => m.SkippedSteps),
    ];

    /// <summary>Maps it; a key with the scope read is asked for.</summary>
    public static void Map(WebApplication app) =>
        app.MapGet("/metrics", async (MetricsPage page, CancellationToken cancellation) => Results.Text(await page.WriteAsync(cancellation).ConfigureAwait(false), "text/plain; version=0.0.4")).RequireScopes(Scopes.Read);

    private async Task<string> WriteAsync(CancellationToken cancellation)
    {
        var text = new PrometheusText();
        ServiceStatus[] services = await health.CheckAsync(cancellation).ConfigureAwait(false);
        text.Gauge("drover_service_up", "Whether a service answers.", services.Select(s => (Labels(("service", s.Service)), s.Serving ? 1.0 : 0)));

        IReadOnlyList<TrainingJob> trainings = [];
        IEnumerable<Job>[] jobs = await Task.WhenAll(
            ListAsync(async o => (await gateway.ListPipelinesAsync(new ListPipelinesRequest { PageSize = JobsLooked }, o)).Pipelines.Select(p => p.Job), cancellation),
            ListAsync(async o => (await tokenizer.ListTokenizerJobsAsync(new ListTokenizerJobsRequest { PageSize = JobsLooked }, o)).Jobs, cancellation),
            ListAsync(async o => (await dataPrep.ListDatasetBuildsAsync(new ListDatasetBuildsRequest { PageSize = JobsLooked }, o)).Builds.Select(b => b.Job), cancellation),
            ListAsync(async o => (trainings = (await trainer.ListTrainingJobsAsync(new ListTrainingJobsRequest { PageSize = JobsLooked }, o)).Jobs).Select(j => j.Job), cancellation),
            ListAsync(async o => (await checkpoint.ListImportsAsync(new ListImportsRequest { PageSize = JobsLooked }, o)).Imports.Select(e => e.Job), cancellation),
            ListAsync(async o => (await checkpoint.ListExportsAsync(new ListExportsRequest { PageSize = JobsLooked }, o)).Exports.Select(e => e.Job), cancellation)).ConfigureAwait(false);
        text.Gauge("drover_jobs", $"Of the newest {JobsLooked} jobs of each kind, how many are in a state.", jobs.SelectMany(j => j).GroupBy(j => (j.Kind, j.State))
            .Select(g => (Labels(("kind", g.Key.Kind), ("state", g.Key.State.ToString().ToLowerInvariant())), (double)g.Count())));
        await WriteTrainingsAsync(text, [.. trainings.Where(t => t.Job.State == JobState.Running)], cancellation).ConfigureAwait(false);
        return text.ToString();
    }

    private async Task WriteTrainingsAsync(PrometheusText text, TrainingJob[] running, CancellationToken cancellation)
    {
        StepMetrics?[] newest = await Task.WhenAll(running.Select(t => NewestAsync(t.Job, cancellation))).ConfigureAwait(false);
        (TrainingJob Training, StepMetrics Metrics)[] known = [.. running.Zip(newest).Where(pair => pair.Second is not null).Select(pair => (pair.First, pair.Second!))];
        foreach ((string name, string help, Func<StepMetrics, double> of) in Steps)
            text.Gauge(name, help, known.Select(k => (Labels(("run", k.Training.Spec.Name), ("job", k.Training.Job.Name)), of(k.Metrics))));
        text.Gauge("drover_training_steps", "Optimizer steps of the whole run.", known.Select(k => (Labels(("run", k.Training.Spec.Name), ("job", k.Training.Job.Name)), (double)k.Training.Job.Progress.Total)));
        text.Gauge("drover_training_attempt", "Which start of the service's work it is.", known.Select(k => (Labels(("run", k.Training.Spec.Name), ("job", k.Training.Job.Name)), (double)k.Training.Job.Attempt)));
    }

    // The newest events of a job, as far as they are there already.
    private async Task<StepMetrics?> NewestAsync(Job job, CancellationToken cancellation)
    {
        StepMetrics? newest = null;
        try
        {
            var request = new WatchTrainingJobRequest { Name = job.Name, FromRevision = Math.Max(0, job.Revision - EventsLooked) };
            using AsyncServerStreamingCall<WatchTrainingJobResponse> watch = trainer.WatchTrainingJob(request, Options(cancellation));
            while (await watch.ResponseStream.MoveNext(cancellation).ConfigureAwait(false))
            {
                newest = watch.ResponseStream.Current.Event.StepMetrics ?? newest;
                if (watch.ResponseStream.Current.Event.Revision >= job.Revision)
                    break;
            }
        }
        catch (RpcException) when (!cancellation.IsCancellationRequested)
        {
            // The trainer went away meanwhile: drover_service_up tells.
        }

        return newest;
    }

    private async Task<IEnumerable<Job>> ListAsync(Func<CallOptions, Task<IEnumerable<Job>>> list, CancellationToken cancellation)
    {
        try
        {
            return await list(Options(cancellation)).ConfigureAwait(false);
        }
        catch (RpcException) when (!cancellation.IsCancellationRequested)
        {
            return [];
        }
    }

    private CallOptions Options(CancellationToken cancellation) => new(deadline: time.GetUtcNow().UtcDateTime + Patience, cancellationToken: cancellation);

    private static (string Name, string Value)[] Labels(params (string Name, string Value)[] labels) => labels;
}
