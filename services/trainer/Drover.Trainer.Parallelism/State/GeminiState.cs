using Drover.Trainer.Collectives;
using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Parallelism;

/// <summary>
/// Gemini: as ZeRO-3 each rank of the data axis owns an equal stretch of the flat state, padded to divide. The stretch is cut into
/// chunks whose weights, gradient and optimizer state are pieces that lie in device or host memory, each by itself: see
/// <see cref="DeviceArena"/>. Around a use the whole weights are gathered to the device, a block ahead, straight from where the pieces
/// lie; a gradient is reduce-scattered and added to its pieces where they lie; the update runs where the optimizer state lies.
/// </summary>
internal sealed class GeminiState : BlockState
{
    private readonly ICollectives _data;
    private readonly UncutGradients _uncut;
    private readonly DeviceArena _arena;
    private readonly long _shard;
    private readonly WeightChunks _weights;
    private readonly List<Chunk> _chunks = [];
    private LedgerTensor? _gradient;
    private LedgerTensor? _scattered;
    private ICollectiveHandle? _scatter;
    private int _backwards;

    public GeminiState(BlockWeights weights, long chunkValues, ScalarType type, ICollectives data, UncutGradients uncut, DeviceArena arena)
        : base(weights)
    {
        (_data, _uncut, _arena) = (data, uncut, arena);
        _weights = new WeightChunks(weights, type, data, arena);
        _shard = _weights.Shard;
        foreach ((long first, long count) in _weights.Cut(chunkValues))
        {
            MemoryPlace home = arena.HomeOf(MemoryClass.Optimizer, count);
            // A gradient is at home where the update that needs it runs.
            var chunk = new Chunk(
                first,
                count,
                _weights.Add(first, count),
                arena.Enter(MemoryClass.Gradients, count, ScalarType.Float32, home),
                arena.Enter(MemoryClass.Optimizer, 3 * count, ScalarType.Float32, home));
            arena.Use(chunk.Optimizer);
            _chunks.Add(chunk);
        }
    }

    public override (long Start, long Count) Owned => _weights.Owned;

    public override (int Rank, int Count) Copies => (0, 1);

    public override Tensor Gradient => _gradient?.Values ?? throw new InvalidOperationException("No backward pass of this block is under way.");

    public override IReadOnlyList<Tensor> OwnedGradient => [.. _chunks.Select(c => c.Gradient.Values)];

    public override void Prefetch() => _weights.Prefetch();

    public override void Acquire() => _weights.Acquire();

    public override void Release() => _weights.Release();

    // The first backward pass of a step writes the gradient; there is none to set to zero.
    public override void BeginStep() => _chunks.ForEach(c => c.Gradient.Dispose());

    public override void BeginBackward()
    {
        if (_backwards++ > 0)
            return;
        FinishGradient();
        _gradient = NewWhole(ScalarType.Float32);
    }

    public override void EndBackward(bool isLast)
    {
        if (--_backwards > 0)
            return;
        _uncut.Sum(Weights, Gradient);
        (_scattered, _gradient) = (_gradient, null);
        using var scope = NewDisposeScope();
        _scatter = _data.StartReduceScatterSum(TensorMemory.AddressOf(_scattered!.Values), TensorMemory.AddressOf(OwnPartOf(_scattered.Values)), _shard);
    }

    public override void Settle() => FinishGradient();

    public override void FinishGradient()
    {
        if (_scattered is null)
            return;
        _scatter!.Wait();
        using var scope = NewDisposeScope();
        Tensor own = OwnPartOf(_scattered.Values);
        foreach (Chunk chunk in _chunks)
        {
            bool adds = chunk.Gradient.IsHere;
            _arena.Use(chunk.Gradient);
            _arena.Copy(MemoryClass.Gradients, own.narrow(0, chunk.First, chunk.Count), MemoryPlace.Device, chunk.Gradient.Values, chunk.Gradient.Place, adds);
        }

        _scattered.Dispose();
        _scattered = null;
    }

    public override void Update(AdamWSpec spec, double learningRate, Tensor step, Tensor gradientScale)
    {
        foreach (Chunk chunk in _chunks)
        {
            using var scope = NewDisposeScope();
            GeminiPiece gradient = chunk.Gradient, optimizer = chunk.Optimizer;
            _arena.Use(optimizer);
            optimizer.IsPinned = true;
            _arena.UseIn(optimizer.Place, gradient);
            UpdateStretch(spec, learningRate, step, gradientScale, (_data.Rank * _shard) + chunk.First, chunk.State, gradient.Values);
            optimizer.IsPinned = false;
            gradient.Dispose();
            Publish(chunk);
        }
    }

    public override void CopyState(string kind, long first, Span<float> target)
    {
        using var scope = NewDisposeScope();
        foreach ((Chunk chunk, int from, int at, int length) in Across(first, target.Length))
            chunk.State.Copy(kind, from, target.Slice(at, length));
    }

    public override void SetState(string kind, long first, ReadOnlySpan<float> source)
    {
        using var scope = NewDisposeScope();
        foreach ((Chunk chunk, int from, int at, int length) in Across(first, source.Length))
            chunk.State.Set(kind, from, source.Slice(at, length));
    }

    public override void PublishMaster() => _chunks.ForEach(Publish);

    public override void Dispose()
    {
        _scatter?.Wait();
        _weights.Dispose();
        _gradient?.Dispose();
        _scattered?.Dispose();
        foreach (Chunk chunk in _chunks)
        {
            chunk.Gradient.Dispose();
            chunk.Optimizer.Dispose();
        }
    }

    private void Publish(Chunk chunk)
    {
        using var scope = NewDisposeScope();
        chunk.Optimizer.IsPinned = true;
        _arena.Use(chunk.Weight, overwrites: true);
        _arena.Copy(MemoryClass.Weights, chunk.State.Master, chunk.Optimizer.Place, chunk.Weight.Values, chunk.Weight.Place);
        chunk.Optimizer.IsPinned = false;
    }

    // The chunks that a stretch of the owned values lies in: from where in the chunk, at where in the stretch, how many.
    private IEnumerable<(Chunk Chunk, int From, int At, int Length)> Across(long first, int length)
    {
        foreach (Chunk chunk in _chunks)
        {
            long from = Math.Max(first, chunk.First), to = Math.Min(first + length, chunk.First + chunk.Count);
            if (from < to)
                yield return (chunk, (int)(from - chunk.First), (int)(from - first), (int)(to - from));
        }
    }

    private Tensor OwnPartOf(Tensor whole) => whole.narrow(0, _data.Rank * _shard, _shard);

    private LedgerTensor NewWhole(ScalarType type) => _arena.Ledger.New(MemoryClass.Buffers, MemoryPlace.Device, _shard * _data.WorldSize, type);

    /// <summary>A stretch of this rank's stretch.</summary>
    private sealed record Chunk(long First, long Count, GeminiPiece Weight, GeminiPiece Gradient, GeminiPiece Optimizer)
    {
        /// <summary>Views of the optimizer piece where it lies now, in the caller's dispose scope.</summary>
        public OptimizerTensors State => new(Part(0), new PlainMoments(Part(1), Part(2)));

        private Tensor Part(int i) => Optimizer.Values.narrow(0, i * Count, Count);
    }
}
