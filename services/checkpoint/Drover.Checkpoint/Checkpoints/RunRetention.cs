using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.ObjectStore;
using Drover.Protocol.Common.V1;
using Google.Protobuf;

namespace Drover.Checkpoint.Checkpoints;

/// <summary>Which checkpoints of a run stay: "runs/&lt;run&gt;/checkpoints/retention.json".</summary>
internal static class RunRetention
{
    /// <summary>What is set; all stay where nothing is, or what nobody can read.</summary>
    public static async Task<RetentionSpec> ReadAsync(IObjectStore store, string run, CancellationToken cancellation)
    {
        try
        {
            return JsonParser.Default.Parse<RetentionSpec>(await store.ReadTextAsync(KeyOf(run), cancellation).ConfigureAwait(false));
        }
        catch (Exception e) when (e is DroverException { Code: FailureCode.NotFound } or InvalidProtocolBufferException or InvalidJsonException)
        {
            return new RetentionSpec();
        }
    }

    /// <summary>Sets it.</summary>
    public static async Task WriteAsync(IObjectStore store, string run, RetentionSpec spec, CancellationToken cancellation) =>
        await store.PutTextAsync(KeyOf(run), JsonFormatter.Default.Format(spec) + "\n", cancellation).ConfigureAwait(false);

    /// <summary>Refuses what cannot be meant.</summary>
    /// <exception cref="DroverException">InvalidArgument.</exception>
    public static RetentionSpec Check(RetentionSpec? spec) => spec switch
    {
        null => new RetentionSpec(),
        { KeepLast: < 0 } or { KeepEverySteps: < 0 } => throw new DroverException(FailureCode.InvalidArgument, "INVALID_RETENTION", $"retention: keep_last is {spec.KeepLast} and keep_every_steps is {spec.KeepEverySteps}; neither may be negative."),
        { KeepLast: 0, KeepEverySteps: > 0 } => throw new DroverException(FailureCode.InvalidArgument, "INVALID_RETENTION", "retention: keep_last is 0, which keeps all of them, so keep_every_steps would mean nothing. Set keep_last to 1 or more."),
        _ => spec,
    };

    private static string KeyOf(string run) => RunKeys.Checkpoints(run) + "retention.json";
}
