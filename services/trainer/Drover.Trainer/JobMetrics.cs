using System.Collections.Concurrent;
using Drover.Jobs;
using Drover.Protocol.Common.V1;

namespace Drover.Trainer;

/// <summary>The first and the latest step of a job and its latest evaluation, read from its durable events; what was read once is not read again.</summary>
internal sealed class JobMetrics(JobQueue queue)
{
    private readonly ConcurrentDictionary<string, MetricsSummary> _known = new(StringComparer.Ordinal);

    public async Task<MetricsSummary> OfAsync(Job job, CancellationToken cancellation)
    {
        MetricsSummary summary = _known.GetValueOrDefault(job.Name) ?? new MetricsSummary(0, null, null, null);
        if (summary.Revision >= job.Revision)
            return summary;
        await foreach (JobEvent update in queue.WatchAsync(job.Name, job.Kind, summary.Revision, cancellation).ConfigureAwait(false))
        {
            summary = new MetricsSummary(update.Revision, summary.First ?? update.StepMetrics, update.StepMetrics ?? summary.Latest, update.Evaluation ?? summary.Evaluation);
            if (update.Revision >= job.Revision)
                break;
        }

        return _known[job.Name] = summary;
    }
}

/// <summary>What <see cref="JobMetrics"/> knows of a job.</summary>
internal sealed record MetricsSummary(long Revision, StepMetrics? First, StepMetrics? Latest, EvaluationMetrics? Evaluation);
