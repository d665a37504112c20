using System.Diagnostics;
using System.Text;
using Drover.Errors;
using Drover.Formats.Checkpoints;
using Drover.Trainer.Collectives;
using Drover.Trainer.Contract;
using Drover.Trainer.Engine;
using Drover.Trainer.Model;

namespace Drover.Trainer.Worker;

/// <summary>
/// Saves the state of a run. Each rank copies its slices of the tensors to host memory and writes it while training goes on; when
/// every rank has written, rank 0 writes the pending manifest and tells. At most one save is in flight. A save that cannot be written (disk
/// full, object store away) is told and left: the checkpoint before it stays the last one.
/// </summary>
internal sealed class CheckpointSaver(RankContext rank, TrainingEngine engine)
{
    private const char Failed = '!';

    private Task<(WrittenShard Shard, double Seconds)>? _writing;
    private CheckpointManifest? _manifest;
    private double _copySeconds;

    /// <summary>The step of the last save that was started and has not failed, 0 before the first.</summary>
    public long LastStep { get; private set; }

    /// <summary>A save was started and not finished.</summary>
    public bool InFlight => _writing is not null;

    /// <summary>This rank's part is written (or has failed, which <see cref="Finish"/> tells).</summary>
    public bool Written => _writing is { IsCompleted: true };

    /// <summary>Copies the state and starts to write it.</summary>
    /// <param name="manifest">Without shards and tensors.</param>
    public void Start(CheckpointManifest manifest)
    {
        long started = Stopwatch.GetTimestamp();
        string prefix = RunKeys.Checkpoint(manifest.Run, manifest.Step);
        // What the last steps freed goes back first: the copy is then not on top of it.
        HostHeap.GiveBackFreedMemory();
        var copy = new HostCopy(engine.SavedState.Sum(slice => slice.Count));
        var slices = new List<CheckpointSlice>(engine.SavedState.Count);
        long next = 0;
        foreach (StateSlice slice in engine.SavedState)
        {
            long place = next;
            engine.CopyState(slice, copy.Values(place, checked((int)slice.Count)));
            slices.Add(new CheckpointSlice(slice.Kind, slice.Name, slice.GlobalShape, slice.Offset, slice.Shape, (first, target) => copy.Values(place + first, target.Length).CopyTo(target)));
            next += slice.Count;
        }

        _manifest = manifest;
        LastStep = manifest.Step;
        _copySeconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
        _writing = Task.Run(() => WriteAsync(prefix, slices, copy));
    }

    /// <summary>Waits until every rank has written, then hands the checkpoint on to be published. Every rank calls it.</summary>
    /// <returns>Why there is no checkpoint, on every rank; null where there is one.</returns>
    public DroverException? Finish()
    {
        if (_writing is null || _manifest is null)
            return null;
        long waiting = Stopwatch.GetTimestamp();
        (string mine, double seconds) = ResultAsync(_writing).Finish();
        // A gather is a barrier too: no manifest before the last shard is there.
        string[] all = [.. rank.Collectives.GatherBytes(Encoding.UTF8.GetBytes(mine)).Select(Encoding.UTF8.GetString)];
        double waited = Stopwatch.GetElapsedTime(waiting).TotalSeconds;
        string problem = all.FirstOrDefault(text => text.StartsWith(Failed)) ?? "";
        if (problem.Length == 0 && rank.Collectives.Rank == 0)
            problem = HandOnAsync(_manifest, [.. all.Select(WrittenShard.FromJson)], _copySeconds + waited, seconds).Finish();
        // The ranks end a save alike, also where only the first of them failed.
        problem = Encoding.UTF8.GetString(rank.Collectives.GatherBytes(Encoding.UTF8.GetBytes(problem)).FirstOrDefault(p => p.Length > 0) ?? []);
        long step = _manifest.Step;
        (_writing, _manifest) = (null, null);
        if (problem.Length == 0)
            return null;
        LastStep = 0;
        return new DroverException(FailureCode.ResourceExhausted, "CHECKPOINT_NOT_WRITTEN", $"The checkpoint of step {step} was not written: {problem[1..]}");
    }

    private async Task<(WrittenShard Shard, double Seconds)> WriteAsync(string prefix, List<CheckpointSlice> slices, HostCopy copy)
    {
        using HostCopy written = copy;
        long started = Stopwatch.GetTimestamp();
        WrittenShard shard = await CheckpointWriter.WriteShardAsync(rank.Store, prefix, rank.Collectives.Rank, slices, CancellationToken.None).ConfigureAwait(false);
        return (shard, Stopwatch.GetElapsedTime(started).TotalSeconds);
    }

    private static async Task<(string Text, double Seconds)> ResultAsync(Task<(WrittenShard Shard, double Seconds)> writing)
    {
        try
        {
            (WrittenShard shard, double seconds) = await writing.ConfigureAwait(false);
            return (shard.ToJson(), seconds);
        }
        catch (DroverException e)
        {
            return (Failed + e.Message, 0);
        }
    }

    private async Task<string> HandOnAsync(CheckpointManifest manifest, WrittenShard[] written, double stalled, double writing)
    {
        (IReadOnlyList<CheckpointShard> shards, IReadOnlyList<LogicalTensor> tensors) = CheckpointWriter.Assemble(written);
        string prefix = RunKeys.Checkpoint(manifest.Run, manifest.Step);
        try
        {
            await CheckpointWriter.WritePendingAsync(rank.Store, prefix, manifest with { Shards = shards, Tensors = tensors }, CancellationToken.None).ConfigureAwait(false);
        }
        catch (DroverException e)
        {
            return Failed + e.Message;
        }

        rank.Events.Write(new WorkerEvent { Checkpoint = new CheckpointEvent(prefix, manifest.Step) { StalledSeconds = stalled, WriteSeconds = writing, Bytes = shards.Sum(s => s.Bytes) } });
        return "";
    }
}
