using Drover.Trainer.Collectives;
using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Parallelism;

/// <summary>
/// ZeRO (Rajbhandari et al., 2020): each rank of the data axis owns an equal stretch of the flat state, padded to divide.
/// Stage 1 shards master weights and moments; the whole gradient is kept and reduce-scattered once a step.
/// Stage 2 keeps the stretch of the gradient only: the whole one exists from a block's backward to the end of its reduce-scatter.
/// Stage 3 keeps the stretch of the compute weights only: they are gathered for each use, a block ahead.
/// With offload, master weights and moments (or the stretch of compute weights) stay in host memory.
/// </summary>
internal sealed class ShardedState : BlockState
{
    private readonly StatePlacement _stage;
    private readonly bool _offloadOptimizer;
    private readonly ICollectives _data;
    private readonly UncutGradients _uncut;
    private readonly MemoryLedger _ledger;
    private readonly long _shard;
    private readonly LedgerTensor _master;
    private readonly OptimizerTensors _state;
    private readonly LedgerTensor _gradientShard;
    private readonly WeightShard? _weightShard;
    private readonly LedgerTensor? _compute;
    private LedgerTensor? _gradient;
    private Scatter? _scatter;
    private ICollectiveHandle? _gather;
    private int _backwards;
    private bool _isShardWritten;

    public ShardedState(BlockWeights weights, ParallelSpec spec, ScalarType type, ICollectives data, UncutGradients uncut, MemoryLedger ledger, OptimizerKind kind)
        : base(weights)
    {
        (_stage, _data, _uncut, _ledger) = (spec.Placement, data, uncut, ledger);
        _offloadOptimizer = spec.OffloadOptimizer;
        _shard = MomentBlocks.ShardOf(weights.Count, data.WorldSize, kind);
        MemoryPlace optimizerPlace = _offloadOptimizer ? MemoryPlace.Host : MemoryPlace.Device;
        if (_stage == StatePlacement.Zero3)
            _weightShard = new WeightShard(weights, _shard, type, spec.OffloadWeights ? MemoryPlace.Host : MemoryPlace.Device, data, ledger);
        else
            _compute = NewWhole(MemoryClass.Weights, type);
        if (_stage == StatePlacement.Zero1)
            _gradient = NewWhole(MemoryClass.Gradients, ScalarType.Float32);
        // Stage 1: the owned part of the whole gradient.
        _gradientShard = _stage == StatePlacement.Zero1 ? _gradient! : ledger.New(MemoryClass.Gradients, MemoryPlace.Device, _shard, ScalarType.Float32);
        _master = ledger.New(MemoryClass.Optimizer, optimizerPlace, _shard, ScalarType.Float32);
        _state = new OptimizerTensors(_master.Values, Moments.New(kind, _shard, optimizerPlace, ledger));
        if (_compute is not null)
            weights.Attach(_compute.Values);
    }

    // The last rank's stretch ends with padding, which belongs to no weight.
    public override (long Start, long Count) Owned
    {
        get
        {
            long start = Math.Min(_data.Rank * _shard, Weights.Count);
            return (start, Math.Min(_shard, Weights.Count - start));
        }
    }

    public override (int Rank, int Count) Copies => (0, 1);

    public override Tensor Gradient => _gradient?.Values ?? throw new InvalidOperationException("No backward pass of this block is under way.");

    public override IReadOnlyList<Tensor> OwnedGradient => [_stage == StatePlacement.Zero1 ? OwnPartOf(_gradientShard.Values) : _gradientShard.Values];

    public override void Prefetch() => _weightShard?.Prefetch();

    public override void Acquire()
    {
        _weightShard?.Acquire();
        _gather?.Wait();
        _gather = null;
    }

    public override void Release() => _weightShard?.Release();

    public override void BeginStep()
    {
        _isShardWritten = false;
        if (_stage == StatePlacement.Zero1)
            _gradientShard.Values.zero_();
    }

    public override void BeginBackward()
    {
        if (_backwards++ == 0 && _stage != StatePlacement.Zero1)
        {
            FinishScatter();
            _gradient = NewWhole(MemoryClass.Buffers, ScalarType.Float32);
        }
    }

    public override void EndBackward(bool isLast)
    {
        if (--_backwards > 0)
            return;
        if (_stage == StatePlacement.Zero1)
        {
            if (!isLast)
                return;
            _uncut.Sum(Weights, Gradient);
            Tensor own = OwnPartOf(_gradient!.Values);
            _scatter = new Scatter(_data.StartReduceScatterSum(TensorMemory.AddressOf(_gradient.Values), TensorMemory.AddressOf(own), _shard), null, null);
            return;
        }

        _uncut.Sum(Weights, Gradient);
        // The first sum of a step goes where it belongs; later ones arrive in the whole gradient and are added.
        Tensor? part = _isShardWritten ? OwnPartOf(_gradient!.Values).DetachFromDisposeScope() : null;
        _scatter = new Scatter(_data.StartReduceScatterSum(TensorMemory.AddressOf(_gradient!.Values), TensorMemory.AddressOf(part ?? _gradientShard.Values), _shard), _gradient, part);
        (_gradient, _isShardWritten) = (null, true);
    }

    public override void Settle()
    {
        if (_stage != StatePlacement.Zero1)
            FinishScatter();
    }

    public override void FinishGradient() => FinishScatter();

    public override void Update(AdamWSpec spec, double learningRate, Tensor step, Tensor gradientScale)
    {
        using var scope = NewDisposeScope();
        Tensor gradient = OwnedGradient[0];
        using LedgerTensor? staged = _offloadOptimizer ? _ledger.New(MemoryClass.Buffers, MemoryPlace.Host, _shard, ScalarType.Float32) : null;
        if (staged is not null)
            TensorMemory.Copy(gradient, staged.Values);
        UpdateStretch(spec, learningRate, step, gradientScale, _data.Rank * _shard, _state, staged?.Values ?? gradient);
        PublishMaster();
    }

    public override void CopyState(string kind, long first, Span<float> target) =>
        _state.Copy(kind, first, target);

    public override void SetState(string kind, long first, ReadOnlySpan<float> source) =>
        _state.Set(kind, first, source);

    // The gather goes on until the weights are needed.
    public override void PublishMaster()
    {
        using var scope = NewDisposeScope();
        _state.Moments.FinishSet();
        if (_weightShard is not null)
        {
            TensorMemory.Copy(_state.Master, _weightShard.Own);
            return;
        }

        _gather?.Wait();
        Tensor own = OwnPartOf(_compute!.Values);
        TensorMemory.Copy(_state.Master, own);
        _gather = _data.StartAllGather(TensorMemory.AddressOf(own), TensorMemory.AddressOf(_compute.Values), _shard * own.element_size());
    }

    public override void Dispose()
    {
        _gather?.Wait();
        FinishScatter();
        Weights.Dispose();
        _compute?.Dispose();
        _gradient?.Dispose();
        _gradientShard.Dispose();
        _weightShard?.Dispose();
        _master.Dispose();
        _state.Moments.Dispose();
    }

    private void FinishScatter()
    {
        if (_scatter is not { } scatter)
            return;
        _scatter = null;
        scatter.Handle.Wait();
        if (scatter.Part is not null)
            _gradientShard.Values.add_(scatter.Part, HeldScalars.One);
        scatter.Part?.Dispose();
        scatter.Whole?.Dispose();
    }

    private Tensor OwnPartOf(Tensor whole) => whole.narrow(0, _data.Rank * _shard, _shard);

    private LedgerTensor NewWhole(MemoryClass memoryClass, ScalarType type) =>
        _ledger.New(memoryClass, MemoryPlace.Device, _shard * _data.WorldSize, type);

    /// <summary>A reduce-scatter under way.</summary>
    /// <param name="Handle">To wait for.</param>
    /// <param name="Whole">What is given back afterwards; null for nothing.</param>
    /// <param name="Part">Where the sum arrives, if it has still to be added; null where it arrives in its place.</param>
    private sealed record Scatter(ICollectiveHandle Handle, LedgerTensor? Whole, Tensor? Part);
}
