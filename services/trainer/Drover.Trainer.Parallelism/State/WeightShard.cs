using Drover.Trainer.Collectives;
using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Parallelism;

/// <summary>
/// An equal stretch of a block's flat compute weights on each rank of the data axis, padded to divide; the whole is gathered for each use, a block
/// ahead (ZeRO-3: Rajbhandari et al., 2020).
/// </summary>
internal sealed class WeightShard : IDisposable
{
    private readonly BlockWeights _weights;
    private readonly ScalarType _type;
    private readonly ICollectives _data;
    private readonly MemoryLedger _ledger;
    private readonly long _count;
    private readonly LedgerTensor _own;
    private LedgerTensor? _whole;
    private ICollectiveHandle? _gather;
    private int _uses;

    /// <param name="weights">The block.</param>
    /// <param name="count">Values of a stretch: of all ranks together, all weights or more.</param>
    /// <param name="type">Of compute.</param>
    /// <param name="place">Where the stretch lies.</param>
    /// <param name="data">The ranks.</param>
    /// <param name="ledger">Counts it.</param>
    public WeightShard(BlockWeights weights, long count, ScalarType type, MemoryPlace place, ICollectives data, MemoryLedger ledger)
    {
        (_weights, _count, _type, _data, _ledger) = (weights, count, type, data, ledger);
        _own = ledger.New(MemoryClass.Weights, place, _count, type);
    }

    /// <summary>This rank's stretch, with its padding.</summary>
    public Tensor Own => _own.Values;

    /// <summary>Where it lies in the flat weights. The last rank's ends with padding, which belongs to no weight.</summary>
    public (long Start, long Count) Owned
    {
        get
        {
            long start = Math.Min(_data.Rank * _count, _weights.Count);
            return (start, Math.Min(_count, _weights.Count - start));
        }
    }

    /// <summary>Starts to gather.</summary>
    public void Prefetch()
    {
        if (_whole is not null)
            return;
        _whole = _ledger.New(MemoryClass.Buffers, MemoryPlace.Device, _count * _data.WorldSize, _type);
        using var scope = NewDisposeScope();
        Tensor own = _whole.Values.narrow(0, _data.Rank * _count, _count);
        TensorMemory.Copy(Own, own);
        _gather = _data.StartAllGather(TensorMemory.AddressOf(own), TensorMemory.AddressOf(_whole.Values), _count * own.element_size());
    }

    /// <summary>Brings the whole here. Calls may nest.</summary>
    public void Acquire()
    {
        Prefetch();
        _gather?.Wait();
        _gather = null;
        if (_uses++ == 0)
            _weights.Attach(_whole!.Values);
    }

    /// <summary>The whole is not needed until the next <see cref="Acquire"/>.</summary>
    public void Release()
    {
        if (--_uses > 0)
            return;
        _weights.Detach();
        _whole!.Dispose();
        _whole = null;
    }

    /// <inheritdoc />
    public void Dispose()
    {
        _gather?.Wait();
        _weights.Dispose();
        _whole?.Dispose();
        _own.Dispose();
    }
}
