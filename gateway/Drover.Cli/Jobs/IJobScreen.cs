namespace Drover.Cli.Jobs;

/// <summary>Shows the events of a job as they come.</summary>
internal interface IJobScreen
{
    /// <summary>Shows them to the end.</summary>
    Task ShowAsync(IAsyncEnumerable<WatchedEvent> events);
}
