using System.Collections;
using Drover.Protocol.Common.V1;

namespace Drover.Jobs;

/// <summary>
/// What every line that is logged while a job runs carries: Job, Attempt, Owner, and of a job that a pipeline made, Pipeline and Step.
/// </summary>
internal sealed class JobScope(Job job) : IReadOnlyList<KeyValuePair<string, object?>>
{
    private readonly KeyValuePair<string, object?>[] _entries =
    [
        new("Job", job.Name), new("Attempt", job.Attempt), new("Owner", job.Owner),
        .. job.RequestId.Split('/') is ["jobs", var pipeline, var step]
            ? new KeyValuePair<string, object?>[] { new("Pipeline", $"jobs/{pipeline}"), new("Step", step) }
            : [],
    ];

    public int Count => _entries.Length;

    public KeyValuePair<string, object?> this[int index] => _entries[index];

    public IEnumerator<KeyValuePair<string, object?>> GetEnumerator() => _entries.AsEnumerable().GetEnumerator();

    public override string ToString() => job.Name;

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
