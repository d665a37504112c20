using System.Runtime.CompilerServices;
using Drover.Protocol.Common.V1;
using Grpc.Core;

namespace Drover.Cli.Jobs;

/// <summary>Watches a job to its end and shows it; a gateway that restarts meanwhile is waited for.</summary>
internal sealed class JobWatch(CliContext context, JobSource source, string name)
{
    private static readonly TimeSpan FirstDelay = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    /// <summary>Shows the events after a revision until the end, then how it ended.</summary>
    /// <returns>Exit code.</returns>
    public async Task<int> RunAsync(long fromRevision = 0)
    {
        IJobScreen screen = context.Json ? new JsonScreen(context) : context.IsInteractive ? new LiveScreen(context) : new PlainScreen(context);
        try
        {
            await screen.ShowAsync(EventsAsync(fromRevision, context.Cancellation)).ConfigureAwait(false);
        }
        catch (Exception e) when (context.Cancellation.IsCancellationRequested && e is OperationCanceledException or RpcException)
        {
            await context.Error.WriteLineAsync($"{name} goes on without you. 'drover jobs watch {name}' watches it again, 'drover jobs cancel {name}' stops it.").ConfigureAwait(false);
            return ExitCodes.Cancelled;
        }

        JobView view = await source.GetAsync(name).ConfigureAwait(false);
        if (context.Json)
            context.WriteJson(view.Resource);
        switch (view.Job.State)
        {
            case JobState.Succeeded:
                return ExitCodes.Ok;
            case JobState.Cancelled:
                await context.Error.WriteLineAsync($"error: {name} was cancelled.").ConfigureAwait(false);
                return ExitCodes.Cancelled;
            default:
                await context.Error.WriteLineAsync($"error: {view.Job.Failure?.Message.ReplaceLineEndings(" ") ?? $"{name} ended as {view.Job.State}"}").ConfigureAwait(false);
                return ExitCodes.Failed;
        }
    }

    private async IAsyncEnumerable<WatchedEvent> EventsAsync(long fromRevision, [EnumeratorCancellation] CancellationToken cancellation)
    {
        long revision = fromRevision;
        long since = 0;
        TimeSpan delay = FirstDelay;
        while (true)
        {
            await using IAsyncEnumerator<WatchedEvent> events = source.Watch(name, revision).GetAsyncEnumerator(cancellation);
            while (true)
            {
                bool more;
                try
                {
                    more = await events.MoveNextAsync().ConfigureAwait(false);
                }
                catch (RpcException e) when (!cancellation.IsCancellationRequested && e.StatusCode != StatusCode.NotFound && (!e.IsAnswer() || e.StatusCode == StatusCode.Unavailable))
                {
                    since = since == 0 ? System.Diagnostics.Stopwatch.GetTimestamp() : since;
                    if (System.Diagnostics.Stopwatch.GetElapsedTime(since) > Patience)
                        throw;
                    break;
                }

                if (!more)
                    yield break;
                since = 0;
                delay = FirstDelay;
                revision = events.Current.Revision;
                yield return events.Current;
            }

            await Task.Delay(delay, cancellation).ConfigureAwait(false);
            delay = delay < TimeSpan.FromSeconds(4) ? delay * 2 : delay;
        }
    }
}
