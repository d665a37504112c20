using Drover.Protocol.Common.V1;
using Drover.Protocol.Gateway.V1;
using Google.Protobuf;
using Grpc.Core;

namespace Drover.Gateway.Pipelines.Steps;

/// <summary>How one kind of step is done by its service. Failures come as the client throws them.</summary>
internal interface IStepWork
{
    /// <summary>The kind.</summary>
    PipelineStep.WorkOneofCase Kind { get; }

    /// <summary>The service that does it.</summary>
    string Service { get; }

    /// <summary>The job of this request id: made, or found when it was made before. The headers say for whom, and how urgent it is.</summary>
    Task<Job> CreateAsync(string requestId, IMessage spec, Metadata headers, CancellationToken cancellation);

    /// <summary>The job as it is, and its outputs when it succeeded.</summary>
    Task<StepOutcome> GetAsync(string job, CancellationToken cancellation);

    /// <summary>The job's events after a revision, until it ends.</summary>
    IAsyncEnumerable<JobEvent> WatchAsync(string job, long fromRevision, CancellationToken cancellation);

    /// <summary>Asks the job to stop.</summary>
    Task CancelAsync(string job, CancellationToken cancellation);

    /// <summary>Asks the job to break off until it is resumed.</summary>
    /// <returns>False where jobs of this kind come to their own end.</returns>
    Task<bool> PauseAsync(string job, CancellationToken cancellation) => Task.FromResult(false);

    /// <summary>Lets a paused job go on; any other stays as it is.</summary>
    Task ResumeAsync(string job, CancellationToken cancellation) => Task.CompletedTask;
}

/// <summary>A step's job and what it gives.</summary>
/// <param name="Job">The job.</param>
/// <param name="Outputs">By name; empty until it succeeded.</param>
internal sealed record StepOutcome(Job Job, IReadOnlyDictionary<string, string> Outputs)
{
    /// <summary>The outcome of a job; outputs are given in pairs of name and value, empty values are left out.</summary>
    public static StepOutcome Of(Job job, bool hasResult, params (string Name, string? Value)[] outputs) =>
        new(job, outputs.Where(o => hasResult && !string.IsNullOrEmpty(o.Value)).ToDictionary(o => o.Name, o => o.Value!, StringComparer.Ordinal));
}
