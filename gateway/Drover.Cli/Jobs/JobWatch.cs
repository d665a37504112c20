using Drover.Client;
using Drover.Protocol.Common.V1;
using Grpc.Core;

namespace Drover.Cli.Jobs;

/// <summary>Watches a job to its end and shows it; a gateway that restarts meanwhile is waited for.</summary>
internal sealed class JobWatch(CliContext context, JobSource source, string name)
{
    /// <summary>Shows the events after a revision until the end, then how it ended.</summary>
    /// <returns>Exit code.</returns>
    public async Task<int> RunAsync(long fromRevision = 0)
    {
        IJobScreen screen = context.Json ? new JsonScreen(context) : context.IsInteractive ? new LiveScreen(context) : new PlainScreen(context);
        try
        {
            IAsyncEnumerable<WatchedEvent> events = EventWatch.FollowAsync(from => source.Watch(name, from), e => e.Revision, fromRevision, context.Client.WatchPatience, cancellation: context.Cancellation);
            await screen.ShowAsync(events).ConfigureAwait(false);
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
}
