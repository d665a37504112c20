using System.Text;
using Drover.Formats.Checkpoints;
using Drover.Trainer.Collectives;
using Drover.Trainer.Contract;
using Drover.Trainer.Engine;

namespace Drover.Trainer.Worker;

/// <summary>
/// Saves the state of a run. Each rank copies its slices of the tensors to host memory and writes it while training goes on; when
/// every rank has written, rank 0 writes the pending manifest and tells. At most one save is in flight.
/// </summary>
internal sealed class CheckpointSaver(RankContext rank, TrainingEngine engine)
{
    private Task<WrittenShard>? _writing;
    private CheckpointManifest? _manifest;

    /// <summary>The step of the last save that was started, 0 before the first.</summary>
    public long LastStep { get; private set; }

    /// <summary>A save was started and not finished.</summary>
    public bool InFlight => _writing is not null;

    /// <summary>This rank's part is written (or has failed, which <see cref="FinishAsync"/> tells).</summary>
    public bool Written => _writing is { IsCompleted: true };

    /// <summary>Copies the state and starts to write it.</summary>
    /// <param name="manifest">Without shards and tensors.</param>
    public void Start(CheckpointManifest manifest)
    {
        string prefix = RunKeys.Checkpoint(manifest.Run, manifest.Step);
        var slices = new List<CheckpointSlice>(engine.SavedState.Count);
        foreach (StateSlice slice in engine.SavedState)
        {
            float[] values = new float[slice.Count];
            engine.CopyState(slice, values);
            slices.Add(new CheckpointSlice(slice.Kind, slice.Name, slice.GlobalShape, slice.Offset, slice.Shape, (first, target) => values.AsSpan((int)first, target.Length).CopyTo(target)));
        }

        _manifest = manifest;
        LastStep = manifest.Step;
        _writing = Task.Run(() => CheckpointWriter.WriteShardAsync(rank.Store, prefix, rank.Collectives.Rank, slices, CancellationToken.None));
    }

    /// <summary>Waits until every rank has written, then hands the checkpoint on to be published. Every rank calls it.</summary>
    public async Task FinishAsync()
    {
        if (_writing is null || _manifest is null)
            return;
        WrittenShard mine = await _writing.ConfigureAwait(false);
        // A gather is a barrier too: no manifest before the last shard is there.
        byte[][] all = rank.Collectives.GatherBytes(Encoding.UTF8.GetBytes(mine.ToJson()));
        if (rank.Collectives.Rank == 0)
        {
            (IReadOnlyList<CheckpointShard> shards, IReadOnlyList<LogicalTensor> tensors) = CheckpointWriter.Assemble(all.Select(json => WrittenShard.FromJson(Encoding.UTF8.GetString(json))));
            string prefix = RunKeys.Checkpoint(_manifest.Run, _manifest.Step);
            await CheckpointWriter.WritePendingAsync(rank.Store, prefix, _manifest with { Shards = shards, Tensors = tensors }, CancellationToken.None).ConfigureAwait(false);
            rank.Events.Write(new WorkerEvent { Checkpoint = new CheckpointEvent(prefix, _manifest.Step) });
        }

        (_writing, _manifest) = (null, null);
    }
}
