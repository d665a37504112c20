using System.Runtime.CompilerServices;
using Drover.Errors;
using Drover.Jobs;
using Drover.Protocol.Common.V1;
using Drover.Protocol.Gateway.V1;

namespace Drover.Gateway.Pipelines;

/// <summary>
/// The events of a pipeline and of its steps as one row. The job queue keeps the pipeline's own events; they are copied
/// into the row here, whenever somebody looks and before a step begins.
/// </summary>
internal sealed class PipelineHistory(PipelineStore store, JobQueue queue)
{
    private const int EventsPerRead = 256;

    /// <summary>Copies the pipeline's own events up to now.</summary>
    /// <returns>The newest revision of the row.</returns>
    public async Task<long> CatchUpAsync(string pipeline, CancellationToken cancellation)
    {
        long target = queue.Get(pipeline, PipelineExecutor.KindName).Job.Revision;
        long last = store.LastStepRevision(pipeline, "");
        if (last < target)
        {
            await foreach (JobEvent update in queue.WatchAsync(pipeline, PipelineExecutor.KindName, last, cancellation).ConfigureAwait(false))
            {
                store.Append(pipeline, "", update);
                if (update.Revision >= target)
                    break;
            }
        }

        return store.LastRevision(pipeline);
    }

    /// <summary>Events after a revision, old ones first, then new ones as they come, until the pipeline ends.</summary>
    /// <exception cref="DroverException">NotFound; OutOfRange for a revision that is not there yet.</exception>
    public async IAsyncEnumerable<PipelineEvent> WatchAsync(string pipeline, long fromRevision, [EnumeratorCancellation] CancellationToken cancellation)
    {
        long newest = await CatchUpAsync(pipeline, cancellation).ConfigureAwait(false);
        if (fromRevision < 0 || fromRevision > newest)
            throw new DroverException(FailureCode.OutOfRange, "REVISION_IN_FUTURE", $"Pipeline '{pipeline}' is at revision {newest}; from_revision is {fromRevision}.");
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        Task own = CopyUntilEndAsync(pipeline, ended.Token);
        try
        {
            for (long revision = fromRevision; ;)
            {
                // Both are taken before reading, so that nothing between the read and the wait is slept through.
                Task change = store.NextChange(pipeline);
                bool last = own.IsCompleted;
                IReadOnlyList<PipelineEvent> events = store.Events(pipeline, revision, EventsPerRead);
                foreach (PipelineEvent update in events)
                {
                    revision = update.Revision;
                    yield return update;
                }

                if (events.Count == EventsPerRead)
                    continue;
                if (last)
                    break;
                await Task.WhenAny(change, own).WaitAsync(cancellation).ConfigureAwait(false);
            }

            await own.ConfigureAwait(false);
        }
        finally
        {
            await ended.CancelAsync().ConfigureAwait(false);
            await own.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task CopyUntilEndAsync(string pipeline, CancellationToken cancellation)
    {
        await foreach (JobEvent update in queue.WatchAsync(pipeline, PipelineExecutor.KindName, store.LastStepRevision(pipeline, ""), cancellation).ConfigureAwait(false))
            store.Append(pipeline, "", update);
    }
}
