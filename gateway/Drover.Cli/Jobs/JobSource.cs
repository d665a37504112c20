using Drover.Protocol.Common.V1;
using Google.Protobuf;

namespace Drover.Cli.Jobs;

/// <summary>One kind of jobs and the RPCs that know it.</summary>
/// <param name="GetAsync">The job and the whole resource it is in; NotFound when the name is of another kind.</param>
/// <param name="Watch">Events after a revision, with the step they belong to ("" for the job itself).</param>
/// <param name="CancelAsync">Asks for a stop.</param>
/// <param name="ListAsync">The newest jobs, or null when another source lists them.</param>
internal sealed record JobSource(
    Func<string, Task<JobView>> GetAsync,
    Func<string, long, IAsyncEnumerable<WatchedEvent>> Watch,
    Func<string, Task> CancelAsync,
    Func<int, Task<IEnumerable<Job>>>? ListAsync);

/// <summary>A job, and the resource it is part of.</summary>
internal sealed record JobView(Job Job, IMessage Resource);

/// <summary>An event as it is shown.</summary>
/// <param name="Revision">Where a watch goes on from.</param>
/// <param name="Step">The pipeline's step, or "".</param>
/// <param name="Event">What happened.</param>
/// <param name="Message">The message it came in, for --json.</param>
internal sealed record WatchedEvent(long Revision, string Step, JobEvent Event, IMessage Message);
