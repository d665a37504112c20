namespace Drover.Cli.Jobs;

/// <summary>One event a line, as JSON.</summary>
internal sealed class JsonScreen(CliContext context) : IJobScreen
{
    public async Task ShowAsync(IAsyncEnumerable<WatchedEvent> events)
    {
        await foreach (WatchedEvent update in events.ConfigureAwait(false))
            context.WriteJson(update.Message);
    }
}
