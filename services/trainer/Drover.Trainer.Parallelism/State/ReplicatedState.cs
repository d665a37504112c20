using Drover.Trainer.Collectives;
using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Parallelism;

/// <summary>
/// DDP: every rank has all of the state. When the last backward of the block is done, the sum of its flat gradient over the data axis
/// starts, and goes on while the blocks before it run; the optimizer waits for it.
/// </summary>
internal sealed class ReplicatedState : BlockState
{
    private readonly ICollectives _data;
    private readonly UncutGradients _uncut;
    private readonly LedgerTensor _compute;
    private readonly LedgerTensor _gradient;
    private readonly LedgerTensor? _master;
    private readonly OptimizerTensors _state;
    private readonly bool _ownsMaster;
    private ICollectiveHandle? _reduction;

    public ReplicatedState(BlockWeights weights, ScalarType type, ICollectives data, UncutGradients uncut, MemoryLedger ledger, OptimizerKind kind)
        : base(weights)
    {
        (_data, _uncut) = (data, uncut);
        LedgerTensor New(MemoryClass c, ScalarType t = ScalarType.Float32) => ledger.New(c, MemoryPlace.Device, weights.Count, t);
        _ownsMaster = type != ScalarType.Float32;
        _compute = New(MemoryClass.Weights, type);
        _gradient = New(MemoryClass.Gradients);
        _master = _ownsMaster ? New(MemoryClass.Optimizer) : null;
        _state = new OptimizerTensors((_master ?? _compute).Values, Moments.New(kind, weights.Count, MemoryPlace.Device, ledger));
        weights.Attach(_compute.Values);
    }

    public override (long Start, long Count) Owned => (0, Weights.Count);

    public override (int Rank, int Count) Copies => (_data.Rank, _data.WorldSize);

    public override Tensor Gradient => _gradient.Values;

    public override IReadOnlyList<Tensor> OwnedGradient => [_gradient.Values];

    public override void Acquire()
    {
    }

    public override void Release()
    {
    }

    public override void BeginStep() => _gradient.Values.zero_();

    public override void EndBackward(bool isLast)
    {
        if (!isLast || Weights.IsFrozen)
            return;
        _uncut.Sum(Weights, Gradient);
        if (_data.WorldSize > 1)
            _reduction = _data.StartAllReduceSum(TensorMemory.AddressOf(_gradient.Values), Weights.Count);
    }

    public override void FinishGradient()
    {
        _reduction?.Wait();
        _reduction = null;
    }

    public override void Update(AdamWSpec spec, double learningRate, Tensor step, Tensor gradientScale)
    {
        UpdateStretch(spec, learningRate, step, gradientScale, 0, _state, _gradient.Values);
        PublishMaster();
    }

    public override void CopyState(string kind, long first, Span<float> target) =>
        _state.Copy(kind, first, target);

    public override void SetState(string kind, long first, ReadOnlySpan<float> source) =>
        _state.Set(kind, first, source);

    public override void PublishMaster()
    {
        _state.Moments.FinishSet();
        if (_ownsMaster)
            _compute.Values.copy_(_state.Master);
    }

    public override void Dispose()
    {
        Weights.Dispose();
        _compute.Dispose();
        _gradient.Dispose();
        _master?.Dispose();
        _state.Moments.Dispose();
    }
}
