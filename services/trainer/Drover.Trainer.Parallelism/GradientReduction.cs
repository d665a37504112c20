using Drover.Trainer.Collectives;
using Drover.Trainer.Model;
using static TorchSharp.torch;

namespace Drover.Trainer.Parallelism;

/// <summary>
/// DDP: every rank has all weights and its own micro-batches. When the last backward of a block is done, the sum of its flat
/// gradient over the ranks starts, and goes on while the blocks before it run; the optimizer waits for all of them.
/// </summary>
public sealed class GradientReduction(ICollectives collectives)
{
    private readonly List<ICollectiveHandle> _started = [];

    /// <summary>Starts the sum of a block's gradient, fp32, in place. The tensor stays as it is until <see cref="WaitAll"/>.</summary>
    public void Start(Tensor flatGradient)
    {
        if (collectives.WorldSize > 1)
            _started.Add(collectives.StartAllReduceSum(TensorMemory.AddressOf(flatGradient), flatGradient.numel()));
    }

    /// <summary>Returns when every sum that was started is there.</summary>
    public void WaitAll()
    {
        foreach (ICollectiveHandle handle in _started)
            handle.Wait();
        _started.Clear();
    }
}
