using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Parallelism;

/// <summary>
/// The state of a block of which some weights are held for compute alone: those, and beside them the state of what is trained, which knows
/// nothing of them. A block without anything trained has no gradient, no reduction and no update.
/// </summary>
/// <param name="weights">The block.</param>
/// <param name="frozen">Its base.</param>
/// <param name="trained">State of the rest; null where there is none.</param>
internal sealed class SplitState(BlockWeights weights, FrozenWeights frozen, BlockState? trained) : BlockState(weights)
{
    private readonly Tensor _nothing = zeros([0], device: CPU).DetachFromDisposeScope();
    private int _uses;

    public override FrozenWeights Frozen => frozen;

    public override (long Start, long Count) Owned => trained?.Owned ?? (0, 0);

    public override (int Rank, int Count) Copies => trained?.Copies ?? (0, 1);

    public override Tensor Gradient => trained?.Gradient ?? _nothing;

    public override IReadOnlyList<Tensor> OwnedGradient => trained?.OwnedGradient ?? [];

    public override void Prefetch()
    {
        frozen.Prefetch();
        trained?.Prefetch();
    }

    public override void Acquire()
    {
        frozen.Acquire();
        trained?.Acquire();
        if (_uses++ == 0)
            Weights.LayRows();
    }

    public override void Release()
    {
        _uses--;
        frozen.Release();
        trained?.Release();
    }

    public override void BeginStep() => trained?.BeginStep();

    public override void BeginBackward() => trained?.BeginBackward();

    public override void EndBackward(bool isLast) => trained?.EndBackward(isLast);

    public override void Settle() => trained?.Settle();

    public override void FinishGradient() => trained?.FinishGradient();

    public override void Update(AdamWSpec spec, double learningRate, Tensor step, Tensor gradientScale) => trained?.Update(spec, learningRate, step, gradientScale);

    public override void CopyState(string kind, long first, Span<float> target) => trained?.CopyState(kind, first, target);

    public override void SetState(string kind, long first, ReadOnlySpan<float> source) => trained?.SetState(kind, first, source);

    public override void PublishMaster() => trained?.PublishMaster();

    public override void Dispose()
    {
        trained?.Dispose();
        frozen.Dispose();
        _nothing.Dispose();
    }
}
