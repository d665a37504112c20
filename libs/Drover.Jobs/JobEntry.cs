using Drover.Protocol.Common.V1;
using Google.Protobuf;

namespace Drover.Jobs;

/// <summary>A job as it stands in the database.</summary>
/// <param name="Job">What every job has.</param>
/// <param name="SpecBytes">The serialized spec.</param>
/// <param name="ResultBytes">The serialized result, or null while there is none.</param>
public sealed record JobEntry(Job Job, byte[] SpecBytes, byte[]? ResultBytes)
{
    /// <summary>The spec the job was created with.</summary>
    public T Spec<T>()
        where T : IMessage<T>, new() => new MessageParser<T>(() => new T()).ParseFrom(SpecBytes);

    /// <summary>What the job produced, or null while it has not.</summary>
    public T? Result<T>()
        where T : class, IMessage<T>, new() => ResultBytes is null ? null : new MessageParser<T>(() => new T()).ParseFrom(ResultBytes);
}

/// <summary>A page of jobs.</summary>
/// <param name="Jobs">Newest first.</param>
/// <param name="NextPageToken">Empty on the last page.</param>
public sealed record JobPage(IReadOnlyList<JobEntry> Jobs, string NextPageToken);
