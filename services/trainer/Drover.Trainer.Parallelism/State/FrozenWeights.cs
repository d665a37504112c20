using Drover.Trainer.Collectives;
using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Parallelism;

/// <summary>
/// The weights of a block that are held for compute alone: no gradient, no fp32 master weights, no moments. Where they live follows the
/// placement of the trained ones: whole on every rank, or, with zero3 and Gemini, a stretch on each, gathered for each use.
/// </summary>
internal abstract class FrozenWeights(BlockWeights weights) : IDisposable
{
    /// <summary>Names and places.</summary>
    public BlockWeights Weights => weights;

    /// <summary>The stretch of the flat weights that this rank reads when it loads.</summary>
    public abstract (long Start, long Count) Owned { get; }

    /// <summary>Says that they will soon be needed.</summary>
    public virtual void Prefetch()
    {
    }

    /// <summary>Brings them here. Calls may nest.</summary>
    public virtual void Acquire()
    {
    }

    /// <summary>They are not needed until the next <see cref="Acquire"/>.</summary>
    public virtual void Release()
    {
    }

    /// <summary>Sets values of the owned stretch, rounded to the type of compute; called as often as there are boxes of weights in it.</summary>
    public abstract void Set(long first, ReadOnlySpan<float> source);

    /// <inheritdoc />
    public abstract void Dispose();
}

/// <summary>All of them on this rank.</summary>
internal sealed class WholeFrozenWeights : FrozenWeights
{
    private readonly LedgerTensor _values;

    public WholeFrozenWeights(BlockWeights weights, ScalarType type, MemoryLedger ledger)
        : base(weights)
    {
        _values = ledger.New(MemoryClass.Weights, MemoryPlace.Device, weights.Count, type);
        weights.Attach(_values.Values);
    }

    public override (long Start, long Count) Owned => (0, Weights.Count);

    public override void Set(long first, ReadOnlySpan<float> source)
    {
        using var scope = NewDisposeScope();
        _values.Values.narrow(0, first, source.Length).copy_(tensor(source.ToArray(), device: CPU));
    }

    public override void Dispose()
    {
        Weights.Dispose();
        _values.Dispose();
    }
}

/// <summary>A stretch of them on each rank of the data axis.</summary>
internal sealed class ShardedFrozenWeights(BlockWeights weights, ScalarType type, MemoryPlace place, ICollectives data, MemoryLedger ledger) : FrozenWeights(weights)
{
    private readonly WeightShard _shard = new(weights, (weights.Count + data.WorldSize - 1) / data.WorldSize, type, place, data, ledger);

    public override (long Start, long Count) Owned => _shard.Owned;

    public override void Prefetch() => _shard.Prefetch();

    public override void Acquire() => _shard.Acquire();

    public override void Release() => _shard.Release();

    public override void Set(long first, ReadOnlySpan<float> source)
    {
        using var scope = NewDisposeScope();
        _shard.Own.narrow(0, first, source.Length).copy_(tensor(source.ToArray(), device: CPU));
    }

    public override void Dispose() => _shard.Dispose();
}

/// <summary>A stretch of them on each rank of the data axis, in chunks that move between device and host memory.</summary>
internal sealed class ChunkedFrozenWeights : FrozenWeights
{
    private readonly WeightChunks _chunks;

    public ChunkedFrozenWeights(BlockWeights weights, long chunkValues, ScalarType type, ICollectives data, DeviceArena arena)
        : base(weights)
    {
        _chunks = new WeightChunks(weights, type, data, arena);
        foreach ((long first, long count) in _chunks.Cut(chunkValues))
            _chunks.Add(first, count);
    }

    public override (long Start, long Count) Owned => _chunks.Owned;

    public override void Prefetch() => _chunks.Prefetch();

    public override void Acquire() => _chunks.Acquire();

    public override void Release() => _chunks.Release();

    public override void Set(long first, ReadOnlySpan<float> source)
    {
        using var scope = NewDisposeScope();
        _chunks.Set(first, tensor(source.ToArray(), device: CPU));
    }

    public override void Dispose() => _chunks.Dispose();
}
