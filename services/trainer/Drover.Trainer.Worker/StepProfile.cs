using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using Drover.Formats.Checkpoints;
using Drover.ObjectStore;
using Drover.Trainer.Collectives;
using Drover.Trainer.Contract;
using Drover.Trainer.Engine;

namespace Drover.Trainer.Worker;

/// <summary>
/// Profiles some steps of a run, those that the spec names or the next ones when a file "profile" in the attempt's folder asks for it:
/// every rank's spans become one chrome trace, with a summary for people beside it.
/// </summary>
internal sealed class StepProfile(RankContext rank, TrainSpec spec, TrainingEngine engine)
{
    private const string File = "profile";
    private readonly List<ProfiledSpan> _spans = [];
    private long _begun;
    private long _origin;
    private int _left;
    private int _asked;

    /// <summary>Steps that this rank sees asked for by the file; the ranks agree on the largest.</summary>
    public int Seen()
    {
        string path = Path.Combine(rank.Spec.AttemptFolder, File);
        return System.IO.File.Exists(path) && int.TryParse(System.IO.File.ReadAllText(path), CultureInfo.InvariantCulture, out int steps) ? Math.Max(1, steps) : 0;
    }

    /// <summary>What the ranks agreed on. While a profile is under way it asks for nothing.</summary>
    public void Ask(int steps)
    {
        if (steps == 0 || _left > 0)
            return;
        _asked = steps;
        if (rank.Collectives.Rank == 0)
            System.IO.File.Delete(Path.Combine(rank.Spec.AttemptFolder, File));
    }

    /// <summary>Before a step. Every rank calls it.</summary>
    public void BeginStep()
    {
        long step = engine.StepsDone + 1;
        if (_left == 0 && (_asked > 0 || (spec.ProfileSteps > 0 && step == spec.ProfileFirstStep)))
        {
            (_begun, _left, _asked) = (step, _asked > 0 ? _asked : spec.ProfileSteps, 0);
            // Clocks of several machines differ: all begin to count here.
            rank.Collectives.Barrier();
            _origin = Stopwatch.GetTimestamp();
        }

        engine.Trace = _left > 0 ? new StepTrace() : null;
    }

    /// <summary>After a step. Every rank calls it; the last of the profile waits for the object store.</summary>
    public void EndStep(StepResult step)
    {
        if (engine.Trace is not { } trace)
            return;
        engine.Trace = null;
        long ended = Stopwatch.GetTimestamp();
        _spans.Add(Of(new TraceSpan(ProfileReport.Step, $"step {step.Step}", ended - (long)(step.Seconds * Stopwatch.Frequency), ended)));
        _spans.AddRange(trace.Spans.Select(Of));
        if (--_left > 0)
            return;
        byte[][] all = rank.Collectives.GatherBytes(JsonSerializer.SerializeToUtf8Bytes([.. _spans], ProfileJson.Default.ProfiledSpanArray));
        _spans.Clear();
        if (rank.Collectives.Rank == 0)
            PutAsync([.. all.Select(bytes => JsonSerializer.Deserialize(bytes, ProfileJson.Default.ProfiledSpanArray)!)], step.Step).Finish();
    }

    private async Task PutAsync(ProfiledSpan[][] ranks, long lastStep)
    {
        string prefix = RunKeys.Profile(spec.Run, _begun);
        await rank.Store.PutTextAsync(ObjectKey.Join(prefix, "trace.json"), ProfileReport.ChromeTrace(ranks), CancellationToken.None).ConfigureAwait(false);
        await rank.Store.PutTextAsync(ObjectKey.Join(prefix, "summary.txt"), ProfileReport.Summary(ranks, _begun, lastStep), CancellationToken.None).ConfigureAwait(false);
        rank.Events.Write(new WorkerEvent { Log = $"Profile of steps {_begun} to {lastStep}: '{prefix}/summary.txt', and for chrome://tracing or Perfetto '{prefix}/trace.json'." });
    }

    private ProfiledSpan Of(TraceSpan span) => new(span.Category, span.Name, Microseconds(span.Started), Microseconds(span.Ended) - Microseconds(span.Started), span.Bytes);

    private double Microseconds(long timestamp) => (timestamp - _origin) * 1e6 / Stopwatch.Frequency;
}

/// <summary>A span in microseconds since the profile began.</summary>
internal sealed record ProfiledSpan(string Category, string Name, double Start, double Duration, long Bytes)
{
    [JsonIgnore]
    public double End => Start + Duration;
}

[JsonSerializable(typeof(ProfiledSpan[]))]
internal sealed partial class ProfileJson : JsonSerializerContext;
